"""Finds exact and near copies among the images of a dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NEAR = 0.95  # correlation above which every inspected pair of FER2013 images was the same picture
SMALL_PX = 24  # side at which images are compared; finer detail is mostly compression
CHUNK = 1024  # images that are compared with all others at once


class Pair(NamedTuple):
    """Two images by index, the lower one first, and their correlation."""

    first: int
    second: int
    correlation: float


def exact_groups(x: NDArray[np.uint8]) -> list[list[int]]:
    """Return groups of two or more indices of images (n, …) that are equal in every pixel."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index, image in enumerate(x):
        groups[image.tobytes()].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_pairs(x: NDArray[np.uint8], least: float = NEAR) -> list[Pair]:
    """Return pairs of images (n, 48, 48, 1) that correlate by at least `least`, or are equal.

    Flat images correlate with nothing. This takes n²·576 multiplications.
    """
    return [pair for chunk in _chunks(x, least) for pair in chunk]


def _chunks(x: NDArray[np.uint8], least: float) -> Iterator[list[Pair]]:
    rows = _normalized(x)
    for start in range(0, len(rows), CHUNK):
        block = rows[start : start + CHUNK] @ rows[start:].T
        first, second = np.nonzero(block >= least)
        yield [
            Pair(start + int(i), start + int(j), float(block[i, j]))
            for i, j in zip(first, second, strict=True)
            if i < j
        ]


def _normalized(x: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the images as rows (n, 576) of mean 0 and length 1; zeros for a flat image."""
    step = x.shape[1] // SMALL_PX
    small = x.reshape(len(x), SMALL_PX, step, SMALL_PX, step).mean(axis=(2, 4), dtype=np.float32)
    rows = small.reshape(len(x), -1)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    flat = length < SMALL_PX  # a standard deviation of one gray level
    return np.where(flat, 0, rows / np.maximum(length, 1e-6)).astype(np.float32)
