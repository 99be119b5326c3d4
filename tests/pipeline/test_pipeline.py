"""The frame path with the real detector, tracker and shipped model on real clips."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_daemon.capture.camera import Camera
from edge_daemon.capture.opener import source_opener
from edge_daemon.config.sections import SmoothingConfig
from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Box, Detection, Drawing, Frame, ImageBgr, Track, View
from edge_daemon.events.events import Event, EventMaker
from edge_daemon.events.feed import EventFeed
from edge_daemon.pipeline.pipeline import Pipeline, to_classify
from edge_daemon.pipeline.stages import Stages
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.detector import Detector, build_detector
from edge_daemon.vision.model_file import read_model_file
from edge_daemon.vision.plan import NO_HINT, Hint
from edge_daemon.vision.scene import MotionSensor, SceneCuts
from edge_daemon.vision.schedule import SearchSchedule
from edge_daemon.vision.smoothing import Smoother
from edge_daemon.vision.tracker import Tracker

PLAIN = Drawing()
CLIPS = {
    "signing-again.mkv": 1,
    "signing-bird.mkv": 1,
    "signing-book.mkv": 1,
    "signing-eat.mkv": 1,
    "two-people-tilting.mp4": 2,
}


class Every(Latest[View]):
    """A slot that also keeps all it was given; `on_put` hears how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[View] = []
        self.on_put: Callable[[int], None] = lambda _: None

    def put(self, value: View) -> None:
        self.all.append(value)
        self.on_put(len(self.all))
        super().put(value)


class Counted:
    """A detector that counts how often it is asked."""

    def __init__(self, detector: Detector) -> None:
        self._detector, self.name = detector, detector.name
        self.calls = 0

    def detect(self, bgr: ImageBgr, hint: Hint = NO_HINT) -> list[Detection]:
        self.calls += 1
        return self._detector.detect(bgr, hint)

    def detect_in(self, picture: Picture, hint: Hint) -> list[Detection]:
        self.calls += 1
        return self._detector.detect_in(picture, hint)

    def reduction(self, size: tuple[int, int], hint: Hint) -> int:
        return self._detector.reduction(size, hint)

    def close(self) -> None:
        self._detector.close()


def stages(
    detector: Detector,
    model: Path,
    *,
    interval: int = 1,
    min_face_px: float = 0,
    drawing: Drawing = PLAIN,
) -> Stages:
    """Return the daemon's default stages, except those that are given."""
    classifier = Classifier(read_model_file(model))
    labels = classifier.model.labels
    return Stages(
        cuts=SceneCuts(),
        motion=MotionSensor(),
        schedule=SearchSchedule(interval=interval, max_gap_s=0.5),
        detector=detector,
        tracker=Tracker(),
        classifier=classifier,
        smoother=Smoother(labels=labels, **SmoothingConfig().model_dump(exclude={"calibration"})),
        maker=EventMaker(labels=labels, common={}),
        drawing=drawing,
        min_score=0.5,
        max_faces=8,
        min_face_px=min_face_px,
    )


def played(
    clip: Path, first: Stages, second: Stages | None = None, swap_at: int = 0
) -> tuple[list[View], list[Event]]:
    """Return all views and events of `clip`; `second` replaces the stages after `swap_at`."""
    frames: Latest[Frame] = Latest()
    views = Every()
    backlog: Backlog[Event] = Backlog(10_000)
    stop = threading.Event()
    failures: list[BaseException] = []
    camera = Camera(
        open_source=source_opener(
            str(clip), width=640, height=480, fps=15, loop=False, timeout_s=5
        ),
        frames=frames,
        timeout_s=5,
        lossless=True,
        on_failure=failures.append,
    )
    pipeline = Pipeline(
        frames=frames,
        views=views,
        events=EventFeed([backlog]),
        shots=Backlog(8),
        stages=first,
        notice=lambda: camera.notice,
        blank_size=(640, 480),
        stop=stop,
    )
    if second is not None:
        views.on_put = lambda count: pipeline.swap(second) if count == swap_at else None
    worker = threading.Thread(target=pipeline.run)
    worker.start()
    camera.start()
    while camera.status.state in {"starting", "ok"} and not failures:
        stop.wait(0.02)
    stop.set()
    worker.join()
    pipeline.close()
    camera.stop()
    assert not failures
    events = []
    while (event := backlog.get(0)) is not None:
        events.append(event)
    return views.all, events


@pytest.fixture
def detector(blazeface_dir: Path) -> Counted:
    return Counted(build_detector("blazeface", models_dir=blazeface_dir))


@pytest.mark.parametrize("name", CLIPS)
def test_each_person_is_one_face_in_nearly_every_frame(
    name: str, media_dir: Path, detector: Counted, shipped_model: Path
) -> None:
    views, events = played(media_dir / name, stages(detector, shipped_model))
    people = CLIPS[name]
    assert sum(len(view.faces) >= people for view in views) >= 0.95 * len(views)
    assert {face.id for view in views for face in view.faces} == set(range(1, people + 1))
    assert [view.frame.id for view in views] == list(range(1, len(views) + 1))
    started = [e.fields["face"] for e in events if e.type == "face_start"]
    ended = [e.fields["face"] for e in events if e.type == "face_end"]
    assert sorted(started) == sorted(ended) == list(range(1, people + 1))
    assert all(e.fields.get("duration_s", 0) >= 0 for e in events)
    assert any(face.label for view in views for face in view.faces)
    assert detector.calls == len(views)


def test_the_tracker_bridges_frames_that_are_not_searched(
    media_dir: Path, detector: Counted, shipped_model: Path
) -> None:
    every_fourth = stages(detector, shipped_model, interval=4)
    views, _ = played(media_dir / "signing-book.mkv", every_fourth)
    assert detector.calls == -(-len(views) // 4)
    shown = [view for view in views if view.faces]
    assert len(shown) >= len(views) - 8  # all but the first two searches
    assert {face.id for view in shown for face in view.faces} == {1}
    assert shown[-1].faces[0].label


def test_small_faces_are_shown_but_not_classified(
    media_dir: Path, detector: Counted, shipped_model: Path
) -> None:
    clip = media_dir / "two-people-tilting.mp4"
    views, events = played(clip, stages(detector, shipped_model, min_face_px=100))
    faces = [face for view in views for face in view.faces]
    assert {face.id for face in faces} == {1, 2}
    assert all(face.label == "" and face.scores == () for face in faces)
    assert {event.type for event in events} == {"face_start", "face_end"}


def track(number: int, side: float, *, seen: bool = True) -> Track:
    return Track(number, Box(0, 0, side, side), 0.9, None, seen, 0.0, 1.0)


def test_the_largest_faces_seen_are_classified_first() -> None:
    tracks = [track(1, 40), track(2, 90), track(3, 200, seen=False), track(4, 60), track(5, 23)]
    assert [each.id for each in to_classify(tracks, 8, 24)] == [2, 4, 1]
    assert [each.id for each in to_classify(tracks, 2, 24)] == [2, 4]
    assert to_classify([], 8, 24) == []


def test_a_swap_between_two_frames_drops_none_and_changes_no_answer(
    media_dir: Path, detector: Counted, shipped_model: Path
) -> None:
    """The same stages take over from themselves: all is as without a swap."""
    clip = media_dir / "two-people-tilting.mp4"
    plain, plain_events = played(clip, stages(detector, shipped_model))
    first, second = (
        stages(detector, shipped_model, drawing=Drawing(quality=quality)) for quality in (80, 81)
    )
    views, events = played(clip, first, second, swap_at=40)
    assert [view.frame.id for view in views] == list(range(1, len(plain) + 1))
    assert [view.drawing.quality for view in views] == [80] * 40 + [81] * (len(plain) - 40)
    assert [told(view) for view in views] == [told(view) for view in plain]
    assert [e.type for e in events] == [e.type for e in plain_events]


def test_blurred_views_come_late_under_what_was_found_since(
    media_dir: Path, detector: Counted, shipped_model: Path
) -> None:
    clip = media_dir / "signing-book.mkv"
    plain, events = played(clip, stages(detector, shipped_model))
    views, same_events = played(clip, stages(detector, shipped_model, drawing=Drawing(blur=True)))
    late = len(plain) - len(views)
    assert 0 < late < 20
    assert [told(view) for view in views] == [told(view) for view in plain[:-late]]
    assert [e.type for e in same_events] == [e.type for e in events]
    for view, later in zip(views, plain[late:], strict=True):
        assert set(later.blur_areas) == set(view.blur_areas)


def told(view: View) -> list[tuple[int, str, tuple[float, ...]]]:
    return [(face.id, face.label, face.scores) for face in view.faces]
