"""A small dataset that a network learns in seconds, as a FER2013 table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from support.labels import LABELS

COLUMNS = (
    "anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt",
    "unknown", "NF",
)  # fmt: skip
TRAINING, TEST = 70, 21


def faces(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return noise with a bright stripe, whose height is the class."""
    y = np.arange(n) % len(LABELS)
    x = np.random.default_rng(seed).normal(110, 25, (n, 48, 48))
    for label in range(len(LABELS)):
        x[y == label, 6 * label : 6 * label + 6] += 80
    return x.clip(0, 255).astype(np.uint8), y


def write_table(path: Path, training: int = TRAINING, test: int = TEST) -> Path:
    """Write the faces as `fer2013.csv`, with the splits Training and PublicTest."""
    rows = [
        f"{label},{' '.join(map(str, image.ravel()))},{usage}"
        for usage, n, seed in (("Training", training, 1), ("PublicTest", test, 2))
        for image, label in zip(*faces(n, seed), strict=True)
    ]
    path.write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    return path


def write_votes(path: Path, training: int = TRAINING, test: int = TEST) -> Path:
    """Write FER+ votes on the faces: eight of ten for the label, two for the next one in the file.

    For angry faces all ten votes are for disgust, as if the two sets disagreed. For neutral faces
    two votes are for contempt.
    """
    lines = [f"Usage,{','.join(COLUMNS)}"]
    for usage, n in (("Training", training), ("PublicTest", test)):
        for label in np.arange(n) % len(LABELS):
            votes = np.zeros(len(COLUMNS), int)
            votes[[label, label + 1]] = (8, 2) if label else (0, 10)
            lines.append(f"{usage},{','.join(map(str, votes))}")
    path.write_text("\n".join(lines) + "\n")
    return path
