"""Measures where the eyes and the detector's box lie in FER2013's 48×48 pictures.

    python -m benchmarks.face_geometry

The daemon cuts its crops so that a face lies as it does here. Each picture is enlarged four times
and put in the middle of a gray canvas, a quarter of its width, where BlazeFace finds about 90 % of
them. `MIEN_DATA` names the folder that holds `fer2013/fer2013.csv.xz` (default `../shared/data`).
"""

from __future__ import annotations

import csv
import lzma
import os
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.core.types import Detection, ImageBgr, ImageGray
from edge_daemon.vision.blazeface import BlazeFace
from edge_daemon.vision.detector import BLAZEFACE_FILES
from edge_daemon.vision.interpreter import Interpreter

REPO = Path(__file__).parents[1]
SIDE = 48
EVERY = 9  # of 28 709 training pictures: 3190
ENLARGE = 4
MARGIN = 72  # of gray on each side, in the picture's own pixels
NAMES = ("left eye x", "left eye y", "right eye x", "right eye y", "box x", "box y", "box side")


def main() -> None:
    detector = BlazeFace(Interpreter(REPO / "models" / BLAZEFACE_FILES["full"]))
    data = Path(os.environ.get("MIEN_DATA", REPO / "../shared/data"))
    tried = 0
    found = []
    for gray in training_pictures(data / "fer2013" / "fer2013.csv.xz"):
        tried += 1
        faces = detector.detect(on_canvas(gray))
        if faces:
            found.append(in_picture(faces[0]))
    print(f"{len(found)} of {tried} faces found; pixels of the 48×48 picture")
    print(f"{'':12} median    p10    p90")
    for name, column in zip(NAMES, np.array(found).T, strict=True):
        low, median, high = np.percentile(column, [10, 50, 90])
        print(f"{name:12} {median:6.2f} {low:6.2f} {high:6.2f}")


def training_pictures(path: Path) -> Iterator[ImageGray]:
    """Yield every `EVERY`th picture (SIDE, SIDE) of the Training split, which comes first."""
    with lzma.open(path, "rt", newline="") as file:
        rows = takewhile(lambda row: row["Usage"] == "Training", csv.DictReader(file))
        for number, row in enumerate(rows):
            if number % EVERY == 0:
                yield np.array(row["pixels"].split(), np.uint8).reshape(SIDE, SIDE)


def on_canvas(gray: ImageGray) -> ImageBgr:
    """`gray` amid a margin of mid-gray, enlarged, in three equal channels."""
    canvas = np.pad(gray, MARGIN, constant_values=128)
    large = cv2.resize(canvas, None, fx=ENLARGE, fy=ENLARGE, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), np.uint8)


def in_picture(face: Detection) -> tuple[float, ...]:
    """Return eyes, corner and side of the box, in pixels of the picture before `on_canvas`."""
    assert face.eyes is not None  # noqa: S101  BlazeFace always gives them
    corners = [*face.eyes.left, *face.eyes.right, face.box.x, face.box.y]
    return (*(value / ENLARGE - MARGIN for value in corners), face.box.w / ENLARGE)


if __name__ == "__main__":
    main()
