"""The stages that a frame passes, as one value that is swapped between two frames."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_daemon.core.types import Drawing, Frame
from edge_daemon.draw.masks import Masks
from edge_daemon.events.events import Event, EventMaker
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.detector import Detector
from edge_daemon.vision.scene import MotionSensor, SceneCuts
from edge_daemon.vision.schedule import SearchSchedule
from edge_daemon.vision.smoothing import Smoother
from edge_daemon.vision.tracker import Tracker


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of the frame path and their settings, built from one configuration.

    Detections scored below `min_score` are blurred but never become faces. At most `max_faces`
    faces are classified in a frame, and none whose longer side is below `min_face_px`. Events of
    `snapshot_types` get a picture. `masks` blacken parts of the picture before any other stage.
    While `paused`, frames are discarded without a search. The first frame of a file (`is_file`) and
    some later ones are searched like still pictures.
    """

    schedule: SearchSchedule
    cuts: SceneCuts
    motion: MotionSensor
    detector: Detector
    tracker: Tracker
    classifier: Classifier
    smoother: Smoother
    maker: EventMaker
    drawing: Drawing
    min_score: float
    max_faces: int
    min_face_px: float
    snapshot_types: frozenset[str] = frozenset()
    masks: Masks = field(default_factory=Masks)
    paused: bool = False
    is_file: bool = False

    def adopt(self, old: Stages, frame: Frame) -> list[Event]:
        """Take over the state of `old`, which must not be used again, as it is after `frame`.

        Faces keep their ids, their smoothed scores and the events announced for them. If the new
        model has other labels, the announced expressions end; the events of these ends are
        returned.
        """
        self.schedule.adopt(old.schedule)
        self.cuts.adopt(old.cuts)
        self.tracker.adopt(old.tracker)
        self.smoother.adopt(old.smoother)
        events = self.maker.adopt(old.maker, frame)
        old.detector.close()
        return events
