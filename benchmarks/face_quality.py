"""What small and blurred faces are worth: PublicTest's accuracy beside the weight we give them.

    python -m benchmarks.face_quality        (writes benchmarks/face_quality.md)

Each face of FER2013's PublicTest is made worse in several ways and then classified by the shipped
model. "Left" is the accuracy above chance as a share of that of the untouched faces; the weight
(`edge_daemon/vision/quality.py`) should follow it. `MIEN_DATA` names the folder that holds
`fer2013/` (default `../shared/data`).
"""

from __future__ import annotations

import csv
import lzma
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.types import ImageGray
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.model_file import read_model_file
from edge_daemon.vision.quality import weight_of

REPO = Path(__file__).parents[1]
SIDE = 48


def scaled(face: ImageGray, side_px: int) -> ImageGray:
    """`face` as a camera would give it from so far away that it is `side_px` wide."""
    small = cv2.resize(face, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def blurred(face: ImageGray, sigma: float) -> ImageGray:
    """`face` out of focus."""
    return np.asarray(cv2.GaussianBlur(face, (0, 0), sigma), np.uint8)


def moved(face: ImageGray, pixels: int) -> ImageGray:
    """`face` moving `pixels` to the side while the shutter is open."""
    return np.asarray(cv2.blur(face, (pixels, 1)), np.uint8)


Spoil = Callable[[ImageGray], ImageGray]
WAYS: dict[str, tuple[int, Spoil]] = {
    "as it is": (SIDE, lambda face: face),
    **{f"{px} px wide": (px, partial(scaled, side_px=px)) for px in (40, 32, 24, 20, 16, 12)},
    **{f"blurred, σ {s}": (SIDE, partial(blurred, sigma=s)) for s in (0.7, 1, 1.5, 2, 3)},
    **{f"moved by {px} px": (SIDE, partial(moved, pixels=px)) for px in (3, 5, 9, 13)},
}


def public_test(csv_xz: Path) -> tuple[list[ImageGray], NDArray[np.int64]]:
    """PublicTest's faces and their labels."""
    faces, labels = [], []
    with lzma.open(csv_xz, "rt") as text:
        for line in csv.DictReader(text):
            if line["Usage"] == "PublicTest":
                pixels = np.array(line["pixels"].split(), np.uint8)
                faces.append(pixels.reshape(SIDE, SIDE))
                labels.append(int(line["emotion"]))
    return faces, np.array(labels)


def main() -> None:
    """Measure, print and write the table."""
    data = Path(os.environ.get("MIEN_DATA", REPO / "../shared/data"))
    faces, labels = public_test(data / "fer2013" / "fer2013.csv.xz")
    classifier = Classifier(read_model_file(REPO / "models" / "expression.tflite"))
    chance = np.bincount(labels).max() / len(labels)
    rows, whole = [], 0.0
    for name, (side_px, spoil) in WAYS.items():
        spoilt = [spoil(face) for face in faces]
        tops = np.array([classifier.score(face).argmax() for face in spoilt])
        accuracy = float((tops == labels).mean())
        whole = whole or accuracy - chance
        weight = float(np.median([weight_of(face, side_px) for face in spoilt]))
        left = (accuracy - chance) / whole
        rows.append(f"| {name} | {100 * accuracy:.1f} % | {left:.2f} | {weight:.2f} |")
    note = (
        f"{len(faces):,} faces of PublicTest, `expression.tflite`; chance is {100 * chance:.1f} %, "
        "the commonest class.\nMade by `python -m benchmarks.face_quality`."
    )
    head = "| face | accuracy | left | median weight |\n|---|---|---|---|"
    text = "\n".join([note, "", head, *rows])
    print(text)
    (Path(__file__).parent / "face_quality.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
