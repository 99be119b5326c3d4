"""Writes `exports/<name>/`: all that the conversion needs to know of a trained network."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np

from train.checkpoints import save_weights, write_text
from train.dataset import LABELS, SIZE_PX, Split, stratified_split
from train.recipe import Recipe

CALIBRATION_FACES = 2000  # the conversion takes what it needs and studies what more would do

# How FER2013's squares lie about a face, from the medians over Training that
# benchmarks/face_geometry.py prints: the square's side in sides of BlazeFace's box, and where in
# the square the middle between the eyes and the center of that box are.
CROP = {"side": 1.12, "eyes": [0.502, 0.401], "box": [0.5, 0.555]}


def export(
    network: keras.Model,
    recipe: Recipe,
    *,
    name: str,
    folder: Path,
    training: Split,
    test: Split,
    metrics: dict[str, Any],
) -> None:
    """Write architecture, weights, spec and samples; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "model.json", network.to_json(indent=1))
    save_weights(network, folder / "model.weights.h5")
    fraction = min(1.0, CALIBRATION_FACES / len(training.y))
    _, sample = stratified_split(training.y, fraction, recipe.seed)
    _save(folder / "calibration.npz", training.take(sample))
    _save(folder / "test.npz", test)
    spec = make_spec(recipe, name=name, training=training, validation=test.name, metrics=metrics)
    write_text(folder / "spec.json", json.dumps(spec, indent=1) + "\n")


def make_spec(
    recipe: Recipe, *, name: str, training: Split, validation: str, metrics: dict[str, Any]
) -> dict[str, Any]:
    """What travels inside the model file: input, labels, crop, data, recipe and figures.

    `validation` is the split that chose the epoch and the temperature.
    """
    return {
        "schema": 1,
        "name": name,
        "version": "1",
        "description": "Facial expression of one aligned gray face; 7 probabilities",
        "author": "The Mien authors",
        "license": "Apache-2.0",
        "architecture": recipe.architecture,
        "input": {
            "height": SIZE_PX,
            "width": SIZE_PX,
            "channels": 1,
            "color": "gray",
            "range": [0, 255],
        },
        "labels": list(LABELS),
        "crop": CROP,
        "resize": "area",
        "dataset": {
            "name": "FER2013",
            "training_faces": len(training.y),
            "validation": validation,
        },
        "training": {**asdict(recipe), "commit": commit(), "date": str(datetime.now(UTC).date())},
        "metrics": {
            key: metrics[key]
            for key in ("split", "labels", "faces", "accuracy", "macro_f1", "temperature")
        },
    }


def commit() -> str:
    """The commit this code was run from, with `+` where files had changed; "" outside git."""
    git = shutil.which("git")
    if git is None:
        return ""
    root = Path(__file__).parent

    def ask(*words: str) -> str:
        done = subprocess.run(  # noqa: S603 - fixed words
            [git, "-C", str(root), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    head = ask("rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and ask("status", "--porcelain", "--", ".") else "")


def _save(path: Path, split: Split) -> None:
    partial = path.with_name("partial.npz")
    np.savez_compressed(partial, x=split.x, y=split.y)
    partial.replace(path)
