"""The frame path: newest frame in, events and a view out; one frame at a time, in one thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import cv2
import numpy as np

from edge_daemon.camera import CameraStatus
from edge_daemon.classifier import Classifier
from edge_daemon.detector import Detector
from edge_daemon.event_feed import EventFeed
from edge_daemon.events import EventMaker
from edge_daemon.latest import Closed, Latest
from edge_daemon.pace import Pace
from edge_daemon.quality import weight_of
from edge_daemon.slow_down import SlowDown
from edge_daemon.smoothing import Smoother
from edge_daemon.tracker import Tracker
from edge_daemon.types import Face, Frame, Track, View

IDLE_S = 0.25  # without a frame for this long, look at the camera's status
RATE_WEIGHT = 0.05  # of the newest frame in the running averages
STAGES: Final = ("detect", "track", "classify", "publish")
FRAME: Final = "frame"  # all of a frame, from its capture to its view

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How the pipeline is doing: running averages, and a count that grows while it lives.

    Every `detector_interval`th frame is searched for faces.
    """

    turns: int = 0
    frames: int = 0
    interval_s: float = 0.0
    latency_s: float = 0.0
    detector_interval: int = 1

    @property
    def fps(self) -> float:
        return 1 / self.interval_s if self.interval_s else 0.0


class Pipeline:
    """Takes each newest frame through detect → track → classify → smooth → events → view.

    The frames that `pace` leaves out are not searched: the tracker says where their faces are.
    Of a frame's faces the `max_faces` largest are classified, but none under `min_face_px`.

    `run` is the body of its thread and ends when `frames` is closed, or with `stop`. While the
    camera is lost it publishes views whose notice says why, and its faces leave in their time.
    `slow_down` says which frames to leave out. `observe` hears how many seconds each of STAGES
    took, and a whole FRAME.
    """

    def __init__(
        self,
        *,
        frames: Latest[Frame],
        views: Latest[View],
        events: EventFeed,
        pace: Pace,
        detector: Detector,
        tracker: Tracker,
        classifier: Classifier,
        smoother: Smoother,
        maker: EventMaker,
        camera_status: Callable[[], CameraStatus],
        blank_size: tuple[int, int],
        max_faces: int,
        min_face_px: float,
        stop: threading.Event,
        slow_down: SlowDown | None = None,
        observe: Callable[[str, float], None] = lambda stage, took_s: None,
    ) -> None:
        self._frames, self._views, self._events = frames, views, events
        self._pace, self._detector, self._tracker = pace, detector, tracker
        self._classifier, self._smoother = classifier, smoother
        self._maker = maker
        self._camera_status = camera_status
        self._max_faces, self._min_face_px = max_faces, min_face_px
        self._stop = stop
        self._slow_down = slow_down or SlowDown()
        self._observe = observe
        width, height = blank_size
        self._last = Frame(0, np.zeros((height, width, 3), np.uint8), 0.0, datetime.now(UTC))
        self._processed_s: float | None = None
        self.progress = Progress()

    def run(self) -> None:
        """Process frames until told to stop."""
        seq = 0
        while not self._stop.is_set():
            try:
                found = self._frames.get(seq, IDLE_S)
            except Closed:
                break
            self.progress = replace(self.progress, turns=self.progress.turns + 1)
            if found is None:
                self._idle()
            else:
                seq, frame = found
                self._process_if_due(frame)
        self._leave()

    def _process_if_due(self, frame: Frame) -> None:
        if not self._slow_down.due(frame):
            return
        started_s = time.monotonic()
        self.process(frame)
        self._slow_down.processed(frame, time.monotonic() - started_s)

    def process(self, frame: Frame) -> View:
        """Take one frame through all stages; the view of it, which is published too."""
        due = self._pace.due(frame)
        tracks = self._look(frame) if due else self._tracker.predict(frame.captured_s)
        with self._timed("publish"):
            view = View(frame, self._faces(tracks, frame.captured_s))
            self._publish(view)
        self._measure(frame)
        return view

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started_s = time.monotonic()
        yield
        self._observe(stage, time.monotonic() - started_s)

    def _look(self, frame: Frame) -> list[Track]:
        """Find the faces, and classify them."""
        started_s = time.monotonic()
        with self._timed("detect"):
            detections = self._detector.detect(frame.bgr)
        with self._timed("track"):
            tracks = self._tracker.update(detections, frame.captured_s)
        with self._timed("classify"):
            self._classify(to_classify(tracks, self._max_faces, self._min_face_px), frame)
        self._pace.looked(frame, time.monotonic() - started_s)
        return tracks

    def _classify(self, tracks: Sequence[Track], frame: Frame) -> None:
        if not tracks:
            return
        gray = np.asarray(cv2.cvtColor(frame.bgr, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        for track in tracks:
            face = self._classifier.crop(gray, track.box, track.eyes)
            weight = weight_of(face, side_of(track) * self._classifier.model.crop.side)
            scores = self._classifier.score(face)
            self._smoother.update(track.id, scores, frame.captured_s, weight)

    def _faces(self, tracks: Sequence[Track], now_s: float) -> tuple[Face, ...]:
        self._smoother.keep_only(track.id for track in tracks)
        return tuple(self._face(track, now_s) for track in tracks)

    def _face(self, track: Track, now_s: float) -> Face:
        reading = self._smoother.last(track.id, now_s)
        if reading is None:
            return Face(track.id, track.box, "", 0.0, (), now_s)
        return Face(
            track.id, track.box, reading.label, reading.score, reading.scores, reading.since_s
        )

    def _publish(self, view: View) -> None:
        for event in self._maker.update(view.frame, view.faces):
            self._events.put(event)
        self._last = view.frame
        self._views.put(view)

    def _idle(self) -> None:
        """No frame came: while the camera is lost, say so and let its faces go."""
        status = self._camera_status()
        if status.state != "lost":
            return
        now_s, now = time.monotonic(), datetime.now(UTC)
        self._processed_s = None
        tracks = self._tracker.update([], now_s)
        faces = self._faces(tracks, now_s)
        for event in self._maker.update(
            replace(self._last, captured_s=now_s, captured_at=now), faces
        ):
            self._events.put(event)
        self._views.put(View(self._last, faces, status.reason))

    def _leave(self) -> None:
        """End what is still announced, so that every start in the log has its end."""
        for event in self._maker.update(self._last, ()):
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
            detector_interval=self._pace.interval,
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
