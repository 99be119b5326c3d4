"""The frame path with the real detector, tracker and shipped model on real clips."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge_daemon.backlog import Backlog
from edge_daemon.camera import Camera
from edge_daemon.classifier import Classifier
from edge_daemon.detector import build_detector
from edge_daemon.event_feed import EventFeed
from edge_daemon.events import Event, EventMaker
from edge_daemon.latest import Latest
from edge_daemon.model_file import read_model_file
from edge_daemon.pipeline import Pipeline
from edge_daemon.smoothing import Smoother
from edge_daemon.source_choice import source_opener
from edge_daemon.tracker import Tracker
from edge_daemon.types import Frame, View

CLIPS = {
    "signing-again.mkv": 1,
    "signing-bird.mkv": 1,
    "signing-book.mkv": 1,
    "signing-eat.mkv": 1,
    "two-people-tilting.mp4": 2,
}


class Every(Latest[View]):
    """A slot that also keeps all it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[View] = []

    def put(self, value: View) -> None:
        self.all.append(value)
        super().put(value)


def played(clip: Path, models: Path, model: Path) -> tuple[list[View], list[Event]]:
    """Every view and event of `clip`, no frame skipped."""
    frames: Latest[Frame] = Latest()
    views = Every()
    backlog: Backlog[Event] = Backlog(10_000)
    classifier = Classifier(read_model_file(model))
    labels = classifier.model.labels
    stop = threading.Event()
    failures: list[BaseException] = []
    camera = Camera(
        open_source=source_opener(str(clip), width=640, height=480, fps=15, loop=False),
        frames=frames,
        timeout_s=5,
        lossless=True,
        on_failure=failures.append,
    )
    pipeline = Pipeline(
        frames=frames,
        views=views,
        events=EventFeed([backlog]),
        detector=build_detector("blazeface", models_dir=models),
        tracker=Tracker(),
        classifier=classifier,
        smoother=Smoother(
            labels=labels,
            half_life_s=0.4,
            min_score=0.4,
            label_min_scores={},
            min_margin=0.1,
            hysteresis=0.05,
            dwell_s=0.5,
        ),
        maker=EventMaker(labels=labels, common={}),
        camera_status=lambda: camera.status,
        blank_size=(640, 480),
        max_faces=8,
        min_face_px=min_face_px,
        stop=stop,
    )
    worker = threading.Thread(target=pipeline.run)
    worker.start()
    camera.start()
    while camera.status.state in {"starting", "ok"} and not failures:
        stop.wait(0.02)
    stop.set()
    worker.join()
    camera.stop()
    assert not failures
    events = []
    while (event := backlog.get(0)) is not None:
        events.append(event)
    return views.all, events


@pytest.mark.parametrize("name", CLIPS)
def test_each_person_is_one_face_in_nearly_every_frame(
    name: str, media_dir: Path, blazeface_dir: Path, shipped_model: Path
) -> None:
    views, events = played(media_dir / name, blazeface_dir, shipped_model)
    people = CLIPS[name]
    assert sum(len(view.faces) >= people for view in views) >= 0.95 * len(views)
    assert {face.id for view in views for face in view.faces} == set(range(1, people + 1))
    assert [view.frame.id for view in views] == list(range(1, len(views) + 1))
    started = [e.fields["face"] for e in events if e.type == "face_start"]
    ended = [e.fields["face"] for e in events if e.type == "face_end"]
    assert sorted(started) == sorted(ended) == list(range(1, people + 1))
    assert all(e.fields.get("duration_s", 0) >= 0 for e in events)
    assert any(face.label for view in views for face in view.faces)
