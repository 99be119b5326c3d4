"""Measures whether stretching the contrast of dark or flat crops helps a model.

    python -m benchmarks.light [MODEL]        (writes benchmarks/light.md)

Every third face of PublicTest with a majority in FER+ is shown with less light (and a small
sensor's noise) or less contrast, as it is and stretched so that its 2nd and 98th percentiles become
0 and 255. `MIEN_DATA` names the folder that holds `fer2013/` (default `../shared/data`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from train.dataset import LABELS, read_dataset
from train.ferplus import read_votes_beside
from train.label_sets import FERPLUS, label_sets
from train.robustness import low_light
from train.scores import Faces
from train.tflite import classifier

REPO = Path(__file__).parents[1]
EVERY = 3
LEVELS = (1.0, 0.5, 0.25, 0.15)
READ_NOISE = 3.0  # gray levels, as in train.robustness


def low_contrast(x: Faces, gain: float) -> Faces:
    """Pull every face towards its mean, and add the read noise of a small sensor."""
    real = x.astype(np.float32)
    mean = real.mean(axis=(1, 2, 3), keepdims=True)
    noise = np.random.default_rng(1).normal(0, READ_NOISE, x.shape)
    return np.asarray((mean + gain * (real - mean) + noise).round().clip(0, 255), np.uint8)


def stretched(x: Faces) -> Faces:
    """Map the 2nd and 98th percentiles of every face to 0 and 255."""
    low, high = np.percentile(x, [2, 98], axis=(1, 2, 3), keepdims=True)
    real = (x - low) * (255 / np.maximum(high - low, 1))
    return np.asarray(real.round().clip(0, 255), np.uint8)


def main(model: Path) -> None:
    """Write the table."""
    data = Path(os.environ.get("MIEN_DATA", REPO.parent / "shared" / "data")) / "fer2013"
    split = read_dataset(data)["PublicTest"]
    labels = label_sets(split, read_votes_beside(data)["PublicTest"])[FERPLUS]
    x, y = split.x[labels.rows[::EVERY]], labels.y[::EVERY]
    classify = classifier(model.read_bytes(), len(LABELS))
    corruptions: dict[str, Callable[[Faces, float], Faces]] = {
        "of the light": low_light,
        "of the contrast": low_contrast,
    }
    lines = []
    for name, corrupt in corruptions.items():
        for level in LEVELS:
            seen = x if level == 1 else corrupt(x, level)
            plain, better = (
                (classify(faces).argmax(axis=1) == y).mean() for faces in (seen, stretched(seen))
            )
            lines.append(f"| {level:g} {name} | {plain:.1%} | {better:.1%} |")
    text = "\n".join(
        [
            f"`{model.name}` on {len(y)} faces of PublicTest with a majority in FER+, against that",
            "majority: as they are, and with their contrast stretched before the model.",
            "Made by `python -m benchmarks.light`.",
            "",
            "| faces at | as they are | stretched |",
            "|---|---:|---:|",
            *lines,
        ]
    )
    print(text)
    (REPO / "benchmarks" / "light.md").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else REPO / "models" / "expression.tflite")
