"""Takes each newest frame through the stages and publishes events and a view."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from queue import SimpleQueue

from edge_daemon.core.frame import Picture, black_picture
from edge_daemon.core.picture import PictureRefused
from edge_daemon.core.slots import Backlog, Closed, Latest
from edge_daemon.core.types import FRAME, Detection, Face, Frame, Progress, Track, View
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.snapshots import Shot
from edge_daemon.pipeline.calibration import Calibrator
from edge_daemon.pipeline.privacy import BlurAreas, ViewDelay
from edge_daemon.pipeline.stages import Stages
from edge_daemon.pipeline.throttle import Throttle
from edge_daemon.vision.plan import Hint
from edge_daemon.vision.quality import weight_of
from edge_daemon.vision.scene import thumbnail
from edge_daemon.vision.smoothing import SmoothedExpression

IDLE_S = 0.25  # without a frame for this long, check why there is none
PAUSED = "Paused"
FILE_TURNS = 30  # searches of a file of which one is thorough
RATE_WEIGHT = 0.05  # of the newest frame in the running averages

log = logging.getLogger(__name__)


class Pipeline:
    """Detects, tracks and classifies the faces of each newest frame, one frame at a time.

    The stages' schedule decides which frames are searched; in the others the tracker predicts
    where the faces are. The `max_faces` largest faces of a searched frame are classified.

    `run` is the body of the pipeline's thread. It ends when `frames` is closed or `stop` is set.
    `notice` returns "" while the camera delivers; otherwise the reason, and the pipeline publishes
    views with that notice while the faces time out. An event that gets a picture goes to `shots`
    with its view. Until the first frame, views have a black picture of `blank_size`. `throttle`
    decides which frames are dropped, and `calibrator` corrects scores. `observe` receives the
    duration in seconds of each of `core.types.STAGES` and of each whole frame, `core.types.FRAME`.
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
        throttle: Throttle | None = None,
        calibrator: Calibrator | None = None,
        observe: Callable[[str, float], None] = lambda stage, took_s: None,
    ) -> None:
        self._frames, self._views = frames, views
        self._events, self._shots = events, shots
        self._stages = stages
        self._offered: SimpleQueue[Stages] = SimpleQueue()
        self._notice = notice
        self._stop = stop
        self._throttle = throttle or Throttle()
        self._calibrator = calibrator or Calibrator()
        self._observe = observe
        self._last = Frame(0, black_picture(blank_size), 0.0, datetime.now(UTC))
        self._blur_areas = BlurAreas()
        self._delay = ViewDelay()
        self._processed_s: float | None = None
        self._turns = self._processed = self._shown_faces = 0
        self._detector_interval = 1
        self._interval_s = self._latency_s = self._search_s = 0.0
        self.damaged = 0  # frames that could not be decoded

    @property
    def stages(self) -> Stages:
        """The stages in use."""
        return self._stages

    @property
    def progress(self) -> Progress:
        """The pipeline's progress; any thread may read it."""
        return Progress(
            turns=self._turns,
            frames=self._processed,
            interval_s=self._interval_s,
            latency_s=self._latency_s,
            search_s=self._search_s,
            detector_interval=self._detector_interval,
            faces=self._shown_faces,
        )

    def swap(self, stages: Stages) -> None:
        """Use `stages` from the next frame on; any thread may call this."""
        self._offered.put(stages)

    def close(self) -> None:
        """Free the resources of the stages in use; call it after `run` has ended."""
        self._stages.detector.close()

    def run(self) -> None:
        """Process frames until stopped."""
        seq = 0
        while not self._stop.is_set():
            try:
                found = self._frames.get(seq, IDLE_S)
            except Closed:
                break
            self._turns += 1
            self._adopt_offered()
            if found is None:
                self._idle()
                continue
            seq, frame = found
            if self._stages.paused:
                self._pause(frame)
            else:
                self._process_if_due(frame)
        self._end_faces()

    def _adopt_offered(self) -> None:
        while not self._offered.empty():
            old, self._stages = self._stages, self._offered.get()
            for event in self._stages.adopt(old, self._last):
                self._events.put(event)

    def _process_if_due(self, frame: Frame) -> None:
        if not self._throttle.due(frame):
            return
        started_s = time.monotonic()
        try:
            self.process(frame)
        except PictureRefused as error:
            self.damaged += 1
            log.debug("frame %d is dropped: %s", frame.id, error)
            return
        self._throttle.processed(frame, time.monotonic() - started_s)

    def process(self, frame: Frame) -> View:
        """Take one frame through all stages, publish its view and return it."""
        if (masked := self._stages.masks.applied(frame.picture)) is not frame.picture:
            frame = replace(frame, picture=masked)
        detections: Sequence[Detection] = ()
        if self._stages.schedule.due(frame, lambda: self._is_idle(frame)):
            detections, tracks = self._search(frame)
        else:
            tracks = self._stages.tracker.predict(frame.captured_s)
        with self._timed("publish"):
            blur_areas = self._blur_areas.update(detections, tracks, frame.captured_s)
            faces = self._faces(tracks, frame.captured_s)
            view = View(frame, faces, "", blur_areas, self._stages.drawing)
            self._publish(view)
        self._measure(frame, len(faces))
        return view

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started_s = time.monotonic()
        yield
        self._observe(stage, time.monotonic() - started_s)

    def _search(self, frame: Frame) -> tuple[list[Detection], list[Track]]:
        """Find, track and classify faces; return all detections, weak ones too, and the tracks."""
        stages, started_s = self._stages, time.monotonic()
        with self._timed("detect"):
            hint = self._hint(frame)
            self._decode(frame.picture, hint)
            small = thumbnail(frame.picture)
            if stages.tracker.is_empty:
                stages.motion.compare(small, frame.captured_s)
            if stages.cuts.is_cut(small):
                stages.tracker.reset()
                hint = self._hint(frame)
            detections = stages.detector.detect_in(frame.picture, hint)
        with self._timed("track"):
            strong = [each for each in detections if each.score >= stages.min_score]
            tracks = stages.tracker.update(strong, frame.captured_s)
        with self._timed("classify"):
            self._classify(to_classify(tracks, stages.max_faces, stages.min_face_px), frame)
        took_s = time.monotonic() - started_s
        stages.schedule.searched(frame, took_s)
        self._search_s = _average(self._search_s, took_s)
        return detections, tracks

    def _decode(self, picture: Picture, hint: Hint) -> None:
        """Decode a picture once, as finely as the search and the crops of known faces need it."""
        stages = self._stages
        factors = [stages.classifier.reduction(known.box) for known in hint.known]
        picture.reduced(min([stages.detector.reduction(picture.size, hint), *factors]))

    def _is_idle(self, frame: Frame) -> bool:
        """Return whether no face is known and nothing has moved."""
        stages, motion = self._stages, self._stages.motion
        if not stages.tracker.is_empty:
            return False
        if motion.is_due(frame.captured_s):
            motion.compare(thumbnail(frame.picture), frame.captured_s)
        return not motion.is_awake(frame.captured_s)

    def _hint(self, frame: Frame) -> Hint:
        schedule, tracker = self._stages.schedule, self._stages.tracker
        is_file, is_following = self._stages.is_file, not (tracker.is_empty or tracker.has_lost)
        turn = schedule.turns if is_following and not is_file else schedule.searches
        return Hint(
            turn=turn,
            known=tracker.known(frame.captured_s),
            lost=tracker.has_lost,
            others=is_file or schedule.is_turn(frame),
            arrived=tracker.has_new(frame.captured_s),
            idle=tracker.is_empty
            and schedule.chosen is None
            and not self._stages.motion.is_awake(frame.captured_s),
            thorough=schedule.sparse or (is_file and not turn % FILE_TURNS),
        )

    def _classify(self, tracks: Sequence[Track], frame: Frame) -> None:
        classifier = self._stages.classifier
        for track in tracks:
            face = classifier.crop_of(frame.picture, track.box, track.eyes)
            weight = weight_of(face, side_of(track) * classifier.model.crop.side)
            scores = classifier.score(face)
            if track is tracks[0]:
                self._calibrator.add(scores, weight, frame.captured_s)
            scores = self._calibrator.corrected(scores)
            self._stages.smoother.update(track.id, scores, frame.captured_s, weight)

    def _faces(self, tracks: Sequence[Track], now_s: float) -> tuple[Face, ...]:
        self._stages.smoother.keep_only(track.id for track in tracks)
        return tuple(self._face(track, now_s) for track in tracks)

    def _face(self, track: Track, now_s: float) -> Face:
        smoothed = self._stages.smoother.current(track.id, now_s)
        if smoothed is None:
            smoothed = SmoothedExpression("", 0.0, (), now_s)
        return Face(
            id=track.id,
            box=track.box,
            label=smoothed.label,
            score=smoothed.score,
            scores=smoothed.scores,
            since_s=smoothed.since_s,
            detection_score=track.score,
            seen=track.seen,
        )

    def _publish(self, view: View) -> None:
        self._last = view.frame
        for event in self._stages.maker.update(view.frame, view.faces):
            logged = self._events.put(event)
            if logged.type in self._stages.snapshot_types:
                self._shots.put(Shot(logged, view))
        for shown in self._delay.put(view):
            self._views.put(shown)

    def _idle(self) -> None:
        """If the camera is lost, publish a view that says why, and let its faces time out."""
        notice = self._notice()
        if not notice:
            return
        now = replace(self._last, captured_s=time.monotonic(), captured_at=datetime.now(UTC))
        faces = self._time_out_faces(now)
        self._views.put(View(self._last, faces, notice, drawing=self._stages.drawing))

    def _pause(self, frame: Frame) -> None:
        """Discard the picture of `frame` and let its faces time out."""
        self._last = replace(frame, picture=black_picture(frame.size))
        faces = self._time_out_faces(self._last)
        self._views.put(View(self._last, faces, PAUSED, drawing=self._stages.drawing))

    def _time_out_faces(self, frame: Frame) -> tuple[Face, ...]:
        """Update the tracker without detections; return the faces that have not timed out."""
        self._processed_s = None
        faces = self._faces(self._stages.tracker.update([], frame.captured_s), frame.captured_s)
        self._shown_faces = len(faces)
        for event in self._stages.maker.update(frame, faces):
            self._events.put(event)
        self._delay.clear()
        return faces

    def _end_faces(self) -> None:
        """End every announced face, so that each start in the log has its end."""
        for event in self._stages.maker.update(self._last, ()):
            self._events.put(event)

    def _measure(self, frame: Frame, faces: int) -> None:
        now_s, past_s = time.monotonic(), self._processed_s
        self._observe(FRAME, now_s - frame.captured_s)
        self._processed_s = now_s
        if past_s is not None:
            self._interval_s = _average(self._interval_s, now_s - past_s)
        self._latency_s = _average(self._latency_s, now_s - frame.captured_s)
        self._processed += 1
        self._detector_interval = self._stages.schedule.interval
        self._shown_faces = faces


def to_classify(tracks: Sequence[Track], max_faces: int, min_face_px: float) -> list[Track]:
    """Return the `max_faces` largest tracks that were detected in this frame.

    Tracks whose longer side is below `min_face_px` are left unclassified.
    """
    seen = [track for track in tracks if track.seen and side_of(track) >= min_face_px]
    return sorted(seen, key=side_of, reverse=True)[:max_faces]


def side_of(track: Track) -> float:
    """Return the longer side of the box in pixels."""
    return max(track.box.w, track.box.h)


def _average(mean: float, value: float) -> float:
    """Return the running mean after `value`; the first value becomes the mean."""
    return mean + RATE_WEIGHT * (value - mean) if mean else value
