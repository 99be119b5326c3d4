"""A single picture in, its faces out: detector and classifier without a camera round them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from edge_daemon.core.types import Drawing, Face, Frame, ImageBgr, View
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.detector import Detector

BuildParts = Callable[[], tuple[Detector, Classifier]]


class StillReader:
    """Looks at one picture at a time; `build` makes its own two parts at the first picture.

    A reload may set another `build`; the next picture is looked at with what that makes.
    """

    def __init__(self, build: BuildParts, max_faces: int) -> None:
        self._build = build
        self._built_by: BuildParts | None = None
        self._max_faces = max_faces
        self._busy = threading.Lock()
        self._parts: tuple[Detector, Classifier] | None = None

    def adopt(self, build: BuildParts) -> None:
        """Use what `build` makes from the next picture on; may be called by any thread."""
        self._build = build

    def view(self, bgr: ImageBgr) -> View:
        """The picture with its largest faces, each with the label that scores highest."""
        with self._busy:
            detector, classifier = self._current_parts()
            found = sorted(detector.detect(bgr), key=lambda d: d.box.area, reverse=True)
            labels = classifier.model.labels
            faces = []
            for number, detection in enumerate(found[: self._max_faces], 1):
                scores = classifier.classify(bgr, detection.box, detection.eyes)
                best = int(scores.argmax())
                values = tuple(float(score) for score in scores)
                faces.append(
                    Face(number, detection.box, labels[best], values[best], values, since_s=0.0)
                )
        frame = Frame(0, bgr, 0.0, datetime.now(UTC))
        return View(frame, tuple(faces), drawing=Drawing(labels=labels))

    def _current_parts(self) -> tuple[Detector, Classifier]:
        build = self._build
        if self._parts is None or self._built_by is not build:
            old, self._parts = self._parts, build()
            self._built_by = build
            if old is not None:
                old[0].close()
        return self._parts
