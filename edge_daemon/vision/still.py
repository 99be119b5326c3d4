"""Finds and classifies the faces of single pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import cv2
import numpy as np

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Detection, Drawing, Face, Frame, ImageBgr, View
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.detector import Detector

SAMPLED: Final = 16  # every so many rows and columns
DOTS_PX: Final = 1.5  # standard deviation of the smoothing of dithered pictures

BuildParts = Callable[[], tuple[Detector, Classifier]]


class StillReader:
    """Reads one picture at a time with the detector and classifier that `build` returns.

    They are built for the first picture, and again after `adopt`. The `max_faces` largest faces of
    each picture are classified.
    """

    def __init__(self, build: BuildParts, max_faces: int) -> None:
        self._build = build
        self._built_by: BuildParts | None = None
        self._max_faces = max_faces
        self._busy = threading.Lock()
        self._parts: tuple[Detector, Classifier] | None = None

    def adopt(self, build: BuildParts) -> None:
        """Use another `build` from the next picture on; any thread may call this."""
        self._build = build

    def view(self, bgr: ImageBgr) -> View:
        """Return `bgr` (height, width, 3) with its faces, largest first, and their top labels."""
        with self._busy:
            detector, classifier = self._current_parts()
            gray = _undithered(bgr)
            found = sorted(detector.detect(gray), key=lambda d: d.box.area, reverse=True)
            faces = [
                _face(number, detection, gray, classifier)
                for number, detection in enumerate(found[: self._max_faces], 1)
            ]
        frame = Frame(0, Picture(bgr), 0.0, datetime.now(UTC))
        return View(frame, tuple(faces), drawing=Drawing(labels=classifier.model.labels))

    def _current_parts(self) -> tuple[Detector, Classifier]:
        build = self._build
        if self._parts is None or self._built_by is not build:
            old, self._parts = self._parts, build()
            self._built_by = build
            if old is not None:
                old[0].close()
        return self._parts


def _undithered(bgr: ImageBgr) -> ImageBgr:
    """Smooth a picture of black and white dots into grays; return any other as it is."""
    for part in (bgr[::SAMPLED, ::SAMPLED], bgr):  # of others, the first part is enough
        if not np.isin(part, (0, 255)).all():
            return bgr
    return np.asarray(cv2.GaussianBlur(bgr, (0, 0), DOTS_PX), np.uint8)


def _face(number: int, detection: Detection, bgr: ImageBgr, classifier: Classifier) -> Face:
    scores = tuple(classifier.classify(bgr, detection.box, detection.eyes).tolist())
    score = max(scores)
    return Face(
        id=number,
        box=detection.box,
        label=classifier.model.labels[scores.index(score)],
        score=score,
        scores=scores,
        since_s=0.0,
        detection_score=detection.score,
    )
