"""The frame path: newest frame in, events and a view out; one frame at a time, in one thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from queue import SimpleQueue

import numpy as np

from edge_daemon.core.slots import Backlog, Closed, Latest
from edge_daemon.core.types import FRAME, Detection, Face, Frame, Progress, Track, View
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.snapshots import Shot
from edge_daemon.pipeline.privacy import HoldBack, Veil
from edge_daemon.pipeline.stages import Stages
from edge_daemon.pipeline.throttle import SlowDown
from edge_daemon.vision.quality import weight_of

IDLE_S = 0.25  # without a frame for this long, ask whether the camera is lost
PAUSED = "Paused"
RATE_WEIGHT = 0.05  # of the newest frame in the running averages

log = logging.getLogger(__name__)


class Pipeline:
    """Takes each newest frame through detect → track → classify → smooth → events → view.

    The frames that the stages' pace leaves out are not searched: the tracker says where their
    faces are. Of a frame's faces the `max_faces` largest are classified, but none under
    `min_face_px`.

    `run` is the body of its thread and ends when `frames` is closed, or with `stop`. `notice` says
    why the camera is lost, "" while it is not; meanwhile the views carry that notice, and the faces
    leave in their time.
    Events that get a picture go to `shots` with their view. `slow_down` says which frames to leave
    out. `observe` hears how many seconds each of STAGES took, and a whole FRAME.
    """

    def __init__(
        self,
        *,
        frames: Latest[Frame],
        views: Latest[View],
        events: EventFeed,
        shots: Backlog[Shot],
        stages: Stages,
        notice: Callable[[], str],
        blank_size: tuple[int, int],
        stop: threading.Event,
        slow_down: SlowDown | None = None,
        observe: Callable[[str, float], None] = lambda stage, took_s: None,
    ) -> None:
        self._frames, self._views = frames, views
        self._events, self._shots = events, shots
        self._stages = stages
        self._offered: SimpleQueue[Stages] = SimpleQueue()
        self._notice = notice
        self._stop = stop
        self._slow_down = slow_down or SlowDown()
        self._observe = observe
        width, height = blank_size
        self._last = Frame(0, np.zeros((height, width, 3), np.uint8), 0.0, datetime.now(UTC))
        self._veil = Veil()
        self._held_back = HoldBack()
        self._processed_s: float | None = None
        self.progress = Progress()

    @property
    def stages(self) -> Stages:
        """Those at work."""
        return self._stages

    def swap(self, stages: Stages) -> None:
        """Go over to `stages` before the next frame; may be called by any thread."""
        self._offered.put(stages)

    def close(self) -> None:
        """Free what the stages at work hold, once `run` has ended."""
        self._stages.detector.close()

    def run(self) -> None:
        """Process frames until told to stop."""
        seq = 0
        while not self._stop.is_set():
            try:
                found = self._frames.get(seq, IDLE_S)
            except Closed:
                break
            self.progress = replace(self.progress, turns=self.progress.turns + 1)
            self._take_offered()
            if found is None:
                self._idle()
                continue
            seq, frame = found
            if self._stages.paused:
                self._pause(frame)
            else:
                self._process_if_due(frame)
        self._leave()

    def _take_offered(self) -> None:
        while not self._offered.empty():
            old, self._stages = self._stages, self._offered.get()
            for event in self._stages.adopt(old, self._last):
                self._events.put(event)

    def _process_if_due(self, frame: Frame) -> None:
        if not self._slow_down.due(frame):
            return
        started_s = time.monotonic()
        self.process(frame)
        self._slow_down.processed(frame, time.monotonic() - started_s)

    def process(self, frame: Frame) -> View:
        """Take one frame through all stages; the view of it, which is published too."""
        found: Sequence[Detection] = ()
        if self._stages.pace.due(frame):
            found, tracks = self._look(frame)
        else:
            tracks = self._stages.tracker.predict(frame.captured_s)
        with self._timed("publish"):
            veil = self._veil.update(found, tracks, frame.captured_s)
            faces = self._faces(tracks, frame.captured_s)
            view = View(frame, faces, "", veil, self._stages.drawing)
            self._publish(view)
        self._measure(frame)
        return view

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started_s = time.monotonic()
        yield
        self._observe(stage, time.monotonic() - started_s)

    def _look(self, frame: Frame) -> tuple[list[Detection], list[Track]]:
        """Find the faces, and classify them; also what may be a face and is not followed."""
        stages, started_s = self._stages, time.monotonic()
        with self._timed("detect"):
            found = stages.detector.detect(frame.bgr)
        with self._timed("track"):
            sure = [each for each in found if each.score >= stages.min_score]
            tracks = stages.tracker.update(sure, frame.captured_s)
        with self._timed("classify"):
            self._classify(to_classify(tracks, stages.max_faces, stages.min_face_px), frame)
        took_s = time.monotonic() - started_s
        stages.pace.looked(frame, took_s)
        self.progress = replace(self.progress, search_s=_average(self.progress.search_s, took_s))
        return found, tracks

    def _classify(self, tracks: Sequence[Track], frame: Frame) -> None:
        classifier = self._stages.classifier
        for track in tracks:
            face = classifier.crop(frame.bgr, track.box, track.eyes)
            weight = weight_of(face, side_of(track) * classifier.model.crop.side)
            scores = classifier.score(face)
            self._stages.smoother.update(track.id, scores, frame.captured_s, weight)

    def _faces(self, tracks: Sequence[Track], now_s: float) -> tuple[Face, ...]:
        self._stages.smoother.keep_only(track.id for track in tracks)
        self.progress = replace(self.progress, faces=len(tracks))
        return tuple(self._face(track, now_s) for track in tracks)

    def _face(self, track: Track, now_s: float) -> Face:
        reading = self._stages.smoother.last(track.id, now_s)
        if reading is None:
            return Face(track.id, track.box, "", 0.0, (), now_s)
        return Face(
            track.id, track.box, reading.label, reading.score, reading.scores, reading.since_s
        )

    def _publish(self, view: View) -> None:
        self._last = view.frame
        for event in self._stages.maker.update(view.frame, view.faces):
            self._events.put(event)
            if event.type in self._stages.snapshot_types:
                self._shots.put(Shot(event, view))
        for shown in self._held_back.put(view):
            self._views.put(shown)

    def _idle(self) -> None:
        """No frame came: while the camera is lost, say so and let its faces go."""
        notice = self._notice()
        if not notice:
            return
        now = replace(self._last, captured_s=time.monotonic(), captured_at=datetime.now(UTC))
        faces = self._unseen(now)
        self._views.put(View(self._last, faces, notice, drawing=self._stages.drawing))

    def _pause(self, frame: Frame) -> None:
        """Nothing of the frame is looked at or shown, and its faces leave."""
        self._last = replace(frame, bgr=np.zeros_like(frame.bgr))
        faces = self._unseen(self._last)
        self._views.put(View(self._last, faces, PAUSED, drawing=self._stages.drawing))

    def _unseen(self, frame: Frame) -> tuple[Face, ...]:
        """The faces that have not yet left at the time of a frame which nobody can see."""
        self._processed_s = None
        faces = self._faces(self._stages.tracker.update([], frame.captured_s), frame.captured_s)
        for event in self._stages.maker.update(frame, faces):
            self._events.put(event)
        self._held_back.clear()
        return faces

    def _leave(self) -> None:
        """End what is still announced, so that every start in the log has its end."""
        for event in self._stages.maker.update(self._last, ()):
            self._events.put(event)

    def _measure(self, frame: Frame) -> None:
        now_s = time.monotonic()
        self._observe(FRAME, now_s - frame.captured_s)
        before, past_s = self.progress, self._processed_s
        self._processed_s = now_s
        interval_s = before.interval_s if past_s is None else now_s - past_s
        self.progress = replace(
            before,
            frames=before.frames + 1,
            interval_s=_average(before.interval_s, interval_s),
            latency_s=_average(before.latency_s, now_s - frame.captured_s),
            detector_interval=self._stages.pace.interval,
        )


def to_classify(tracks: Sequence[Track], max_faces: int, min_face_px: float) -> list[Track]:
    """Of the faces seen in this very frame the `max_faces` largest, none under `min_face_px`."""
    seen = [track for track in tracks if track.seen and side_of(track) >= min_face_px]
    return sorted(seen, key=side_of, reverse=True)[:max_faces]


def side_of(track: Track) -> float:
    """The longer side of a face's box in pixels."""
    return max(track.box.w, track.box.h)


def _average(mean: float, value: float) -> float:
    """The running mean with `value` taken in; the first value is the mean."""
    return mean + RATE_WEIGHT * (value - mean) if mean else value
