"""Batches of an epoch: faces and targets in, shuffled and mixed (x, targets, weights) out."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

Batch = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Every face once an epoch; what is drawn at random follows from seed and epoch alone.

    That is what lets a resumed run see the batches that an unbroken one would have seen.
    """

    def __init__(
        self,
        x: NDArray[np.uint8],
        targets: NDArray[np.float32],
        weights: NDArray[np.float32],
        *,
        batch_size: int,
        mixup: float,
        seed: int,
        epoch: int,
    ) -> None:
        """`x` (n, 48, 48, 1), `targets` (n, 7), `weights` (n,); `epoch` is the first to come.

        `mixup` is the alpha of Zhang et al., arXiv:1710.09412; 0 leaves the faces unmixed.
        """
        super().__init__()
        self._x, self._targets, self._weights = x, targets, weights
        self._batch_size, self._mixup, self._seed = batch_size, mixup, seed
        self._epoch = epoch - 1
        self._order = np.arange(len(x))

    def __len__(self) -> int:
        return math.ceil(len(self._x) / self._batch_size)

    def on_epoch_begin(self) -> None:
        self._epoch += 1
        self._order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._x))

    def __getitem__(self, number: int) -> Batch:
        start = number * self._batch_size
        chosen = self._order[start : start + self._batch_size]
        x, targets, weights = self._x[chosen], self._targets[chosen], self._weights[chosen]
        if not self._mixup:
            return x, targets, weights
        rng = np.random.default_rng([self._seed, max(self._epoch, 0), number])
        share = np.float32(rng.beta(self._mixup, self._mixup))
        other = rng.permutation(len(chosen))
        return (
            share * x + (1 - share) * x[other],
            share * targets + (1 - share) * targets[other],
            share * weights + (1 - share) * weights[other],
        )


def class_weights(y: NDArray[np.int64], balance: float) -> NDArray[np.float32]:
    """A weight (n,) for each face, of mean 1: its class's share of `y` to the power -`balance`.

    0 weighs all faces alike, 1 all classes alike.
    """
    weights: NDArray[np.float64] = np.bincount(y)[y].astype(np.float64) ** -balance
    return np.asarray(weights / weights.mean(), dtype=np.float32)
