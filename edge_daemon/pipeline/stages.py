"""What a frame goes through, as one value: it is swapped whole, between two frames."""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.core.types import Drawing, Frame
from edge_daemon.events.events import Event, EventMaker
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.detector import Detector
from edge_daemon.vision.schedule import Pace
from edge_daemon.vision.smoothing import Smoother
from edge_daemon.vision.tracker import Tracker


@dataclass(frozen=True, slots=True)
class Stages:
    """The parts of the frame path and their settings, built from one configuration.

    Detections scored below `min_score` are blurred at most. At most `max_faces` are classified a
    frame, none under `min_face_px`. Events of `snapshot_types` get a picture. Once
    `paused`, frames are thrown away unseen.
    """

    pace: Pace
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
    paused: bool = False

    def adopt(self, old: Stages, frame: Frame) -> list[Event]:
        """Go on from where `old`, which is not used again, stands after `frame`.

        Faces keep their ids, their smoothed scores and what was announced of them; if the new
        model has other labels, the expressions end, and these events are returned.
        """
        self.tracker.adopt(old.tracker)
        self.smoother.adopt(old.smoother)
        events = self.maker.adopt(old.maker, frame)
        old.detector.close()
        return events
