"""The ways to find faces that `benchmarks.detection` compares."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from benchmarks.clips import ROOT
from benchmarks.composites import MODELS, Composite, Group
from edge_daemon.config.schema import Config
from edge_daemon.core.frame import read_picture
from edge_daemon.core.picture import MAX_PIXELS
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Box, Face, Frame, ImageBgr
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.events.feed import EventFeed
from edge_daemon.pipeline.build import build_stages
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.vision.detector import (
    BLAZEFACE_FILES,
    Detector,
    HaarDetector,
    MediaPipeDetector,
    build_detector,
)

FPS = 15
BEFORE = 24  # frames of the empty scene before a face appears: the daemon is idle by then
ALIKE = 0.3  # IoU of a face and what is found

STILL, LIVE, OLD = "Mien, stills", "Mien, live, within 1 s", "full-range alone"
Search = Callable[[ImageBgr], Sequence["Found"]]


class Found(Protocol):
    """A detection or a face that is shown."""

    @property
    def box(self) -> Box: ...


class LiveCamera:
    """The daemon's own frame path with a camera that sends 15 JPEG pictures a second."""

    def __init__(self) -> None:
        config = Config(model=str(ROOT / "models" / "expression.tflite"))
        self._pipeline = Pipeline(
            frames=Latest(),
            views=Latest(),
            events=EventFeed([]),
            shots=Backlog(1),
            stages=build_stages(config, "benchmark"),
            notice=lambda: "",
            blank_size=(640, 480),
            stop=threading.Event(),
        )
        self._count = 0

    def shown(self, jpeg: bytes) -> Sequence[Face]:
        """Return the faces shown when `jpeg` is the next frame."""
        self._count += 1
        picture = read_picture(jpeg, reduced_pixels=MAX_PIXELS)
        frame = Frame(self._count, picture, self._count / FPS, datetime.now(UTC))
        return self._pipeline.process(frame).faces

    def finds(self, made: Composite) -> bool:
        """Return whether a face that appears now is shown within a second."""
        return self.finds_all(Group(made.bgr, [made.face], made.before))

    def finds_all(self, group: Group) -> bool:
        """Return whether all faces that appear now are shown at once within a second."""
        before, after = encode_jpeg(group.before, quality=90), encode_jpeg(group.bgr, quality=90)
        for _ in range(BEFORE + self._count % 4):  # so that a search's turns differ
            self.shown(before)
        return any(
            all(has(faces, face) for face in group.faces)
            for faces in (self.shown(after) for _ in range(FPS))
        )


def has(found: Iterable[Found], face: Box) -> bool:
    """Return whether `face` is among `found`."""
    return any(each.box.iou(face) > ALIKE for each in found)


def searches() -> dict[str, Search]:
    """Return what searches one picture, by name."""
    full, short = (BLAZEFACE_FILES[name] for name in ("full", "short"))
    detectors: dict[str, Detector] = {
        STILL: build_detector("blazeface", models_dir=MODELS, still=True),
        OLD: build_detector("blazeface", models_dir=MODELS, face_range="full"),
        "short-range alone": build_detector("blazeface", models_dir=MODELS, face_range="short"),
        "MediaPipe, full-range": MediaPipeDetector(MODELS / full),
        "MediaPipe, short-range": MediaPipeDetector(MODELS / short),
        "Haar": HaarDetector(),
    }
    return {name: detector.detect for name, detector in detectors.items()}
