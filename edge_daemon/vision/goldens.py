"""Golden answers: a model's scores when it was converted, with which a runtime is compared."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.errors import reason_of
from edge_daemon.core.types import ImageGray, Scores

FILE = "goldens.npz"
MAX_FACES = 1000


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
    """Parse the content of a `goldens.npz`. Raises GoldensDamaged if it does not fit the model."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            faces = _array(archive, "faces", (size_px, size_px, 1), np.dtype(np.uint8))
            scores = _array(archive, "scores", (classes,), np.dtype(np.float32))
    except GoldensDamaged:
        raise
    except Exception as error:  # zipfile and NumPy raise many kinds on damaged content
        raise GoldensDamaged(reason_of(error)) from error
    sums = scores.sum(axis=1, keepdims=True)
    if len(faces) != len(scores) or not len(faces):
        raise GoldensDamaged(f"there are {len(faces)} faces and {len(scores)} rows of scores")
    if not np.isfinite(scores).all() or (scores < 0).any() or (sums <= 0).any():
        raise GoldensDamaged("its scores are not probabilities")
    return Goldens(faces[..., 0], scores / sums)


def _array(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Read an array of up to MAX_FACES rows of `shape`; check its header before its data."""
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise GoldensDamaged(f"{name} has the unknown format {version}")
        found, is_fortran, found_dtype = read_header(file)
        if found[1:] != shape or not found[0] <= MAX_FACES or found_dtype != dtype or is_fortran:
            raise GoldensDamaged(f"{name} {found} of {found_dtype} do not fit the model")
        size = math.prod(found) * dtype.itemsize
        data = file.read(size)
    if len(data) != size:
        raise GoldensDamaged(f"{name} is truncated")
    return np.frombuffer(data, dtype).reshape(found)


def deviation(goldens: Goldens, score: Callable[[ImageGray], Scores]) -> Deviation:
    """Compare `score` with every golden answer; `largest` is NaN if a score is."""
    answers = np.stack([score(face) for face in goldens.faces])
    same = answers.argmax(axis=1) == goldens.scores.argmax(axis=1)
    return Deviation(len(answers), int(same.sum()), float(np.abs(answers - goldens.scores).max()))
