"""The daemon's frame path with a mark after each stage, for `benchmarks.instructions`.

    python -m benchmarks.contenders.counted FOLDER

Searches the JPEG pictures of FOLDER, every frame, draws and encodes. A mark is a system call that
fails; benchmarks/native/count_instructions.c counts the instructions between two.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import cv2

from benchmarks.clips import ROOT
from benchmarks.instructions import ALL_STAGES, MARK, WARM_FRAMES
from edge_daemon.config.schema import Config
from edge_daemon.config.sections import DetectorConfig
from edge_daemon.core.frame import read_picture
from edge_daemon.core.picture import MAX_PIXELS
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Frame
from edge_daemon.draw.annotate import public_picture
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.events.feed import EventFeed
from edge_daemon.pipeline.build import build_stages
from edge_daemon.pipeline.pipeline import Pipeline

FPS = 15


def mark(stage: str) -> None:
    """Mark the end of `stage`."""
    with suppress(OSError):
        os.fsync(MARK + ALL_STAGES.index(stage))


def pipeline() -> Pipeline:
    """Return a frame path that marks the end of each stage."""
    config = Config(
        model=str(ROOT / "models" / "expression.tflite"), detector=DetectorConfig(interval=1)
    )
    return Pipeline(
        frames=Latest(),
        views=Latest(),
        events=EventFeed([]),
        shots=Backlog(1),
        stages=build_stages(config, "benchmark"),
        notice=lambda: "",
        blank_size=(640, 480),
        stop=threading.Event(),
        observe=lambda stage, _: mark(stage),
    )


def main() -> None:
    """Process the pictures, the first ones twice."""
    cv2.setNumThreads(1)
    path = pipeline()
    paths = sorted(Path(sys.argv[1]).glob("*.jpg"), key=lambda each: int(each.stem))
    jpegs = [each.read_bytes() for each in paths]
    for number, jpeg in enumerate([*jpegs[:WARM_FRAMES], *jpegs]):
        mark("between frames")
        picture = read_picture(jpeg, reduced_pixels=MAX_PIXELS)
        view = path.process(Frame(number + 1, picture, number / FPS, datetime.now(UTC)))
        encode_jpeg(public_picture(view), quality=view.drawing.quality)
        mark("draw and encode")


if __name__ == "__main__":
    main()
