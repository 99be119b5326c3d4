"""Writes `exports/<name>/`: everything that the conversion needs of a trained network."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np

from train.checkpoints import save_weights, write_text
from train.dataset import SIZE_PX, stratified_split
from train.label_sets import FERPLUS, label_sets
from train.recipe import Recipe
from train.scores import ClassIds, Faces
from train.selection import Selection

CALIBRATION_FACES = 2000  # more than the conversion uses; its study compares larger numbers

# The geometry of FER2013's crops, medians over Training (benchmarks/face_geometry.py): the side of
# the crop in sides of BlazeFace's box, and the places in the crop of the point between the eyes and
# of the box's center.
CROP = {"side": 1.12, "eyes": [0.502, 0.401], "box": [0.5, 0.555]}


def export(
    network: keras.Model,
    recipe: Recipe,
    selection: Selection,
    metrics: dict[str, Any],
    *,
    name: str,
    folder: Path,
) -> None:
    """Write architecture, weights, spec and samples, each file atomically.

    The test faces are the faces of the validation split that have a label in the set of labels that
    the network learned (`metrics["annotations"]`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "model.json", network.to_json(indent=1))
    save_weights(network, folder / "model.weights.h5")
    training = selection.training
    fraction = min(1.0, CALIBRATION_FACES / len(training.y))
    _, sample = stratified_split(training.y, fraction, recipe.seed)
    save_split(folder / "calibration.npz", training.x[sample], training.y[sample])
    own = label_sets(selection.validation, selection.validation_votes)[metrics["annotations"]]
    save_split(folder / "test.npz", selection.validation.x[own.rows], own.y)
    spec = make_spec(recipe, selection, metrics, name=name)
    write_text(folder / "spec.json", json.dumps(spec, indent=1) + "\n")


def make_spec(
    recipe: Recipe, selection: Selection, metrics: dict[str, Any], *, name: str
) -> dict[str, Any]:
    """Return the model's `spec.json`: input, labels, crop, data, recipe and figures."""
    annotations = metrics["annotations"]
    own = metrics["sets"][annotations]
    by_whom = "as FER+'s voters would" if annotations == FERPLUS else f"by {annotations}'s labels"
    return {
        "schema": 1,
        "name": name,
        "version": "1",
        "description": f"Names the expression of one aligned gray face {by_whom}: "
        f"{len(selection.validation.labels)} probabilities",
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
        "labels": list(selection.validation.labels),
        "crop": CROP,
        "resize": "area",
        "dataset": {
            "name": selection.training.dataset,
            "annotations": annotations,
            "training_faces": len(selection.training.y),
            "validation": selection.validation.name,
        },
        "training": {**recipe.as_json(), "commit": commit(), "date": str(datetime.now(UTC).date())},
        "metrics": {
            "split": metrics["split"],
            "annotations": annotations,
            "temperature": metrics["temperature"],
            **{key: own[key] for key in ("faces", "accuracy", "mean_recall", "macro_f1")},
        },
    }


def commit() -> str:
    """Return the commit of this code, with `+` if files have changed; "" outside git."""
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


def save_split(path: Path, x: Faces, y: ClassIds) -> None:
    """Write faces and class numbers in the form that the conversion reads."""
    partial = path.with_name("partial.npz")
    np.savez_compressed(partial, x=x, y=y)
    partial.replace(path)
