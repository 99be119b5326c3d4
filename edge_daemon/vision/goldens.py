"""Golden answers: the scores a model gave when it was converted, to compare a runtime with."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.types import ImageGray, Scores

FILE = "goldens.npz"


class GoldensDamaged(ValueError):
    """The golden answers of a model file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Goldens:
    """Drawn faces (n, size, size) and the converter's scores (n, classes); rows sum to 1."""

    faces: NDArray[np.uint8]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a runtime's scores of `faces` faces are from the golden answers."""

    faces: int
    same_label: int
    largest: float  # in probability, over all faces and classes


def read_goldens(content: bytes, size_px: int, classes: int) -> Goldens:
    """Parse the content of a `goldens.npz`; raises GoldensDamaged if it does not fit the model."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            faces, scores = arrays["faces"], arrays["scores"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise GoldensDamaged(str(error)) from error
    fits = faces.shape[1:] == (size_px, size_px, 1) and scores.shape == (len(faces), classes)
    if not fits or not len(faces) or faces.dtype != np.uint8 or scores.dtype != np.float32:
        raise GoldensDamaged(f"faces {faces.shape} and scores {scores.shape} do not fit the model")
    return Goldens(faces[..., 0], scores / scores.sum(axis=1, keepdims=True))


def deviation(goldens: Goldens, score: Callable[[ImageGray], Scores]) -> Deviation:
    """Compare `score` with every golden answer; `largest` is NaN if a score is."""
    answers = np.stack([score(face) for face in goldens.faces])
    same = answers.argmax(axis=1) == goldens.scores.argmax(axis=1)
    return Deviation(len(answers), int(same.sum()), float(np.abs(answers - goldens.scores).max()))
