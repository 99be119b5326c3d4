"""Batches of an epoch: faces and targets in, shuffled and mixed (x, targets, weights) out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.devices import Spread

Batch = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Taught:
    """What a network is taught: faces `x` (n, 48, 48, 1), `targets` (n, 7 or 14), `weights` (n,).

    A student's targets have the teachers' seven probabilities behind the seven of the labels.
    """

    x: NDArray[np.uint8]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]

    def sha256(self) -> str:
        digest = hashlib.sha256(self.x.tobytes())
        digest.update(self.targets.tobytes())
        digest.update(self.weights.tobytes())
        return digest.hexdigest()


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Every face once an epoch, but for those too few for a batch at its end.

    What is drawn at random follows from seed and epoch alone: that is what lets a resumed run see
    the batches that an unbroken one would have seen. `next_epoch` is the epoch to begin with.
    """

    def __init__(
        self, taught: Taught, batch_size: int, *, mixup: float, seed: int, spread: Spread
    ) -> None:
        """`mixup` is the alpha of Zhang et al., arXiv:1710.09412; 0 leaves the faces unmixed.

        Of each batch this gives the part that this process feeds to its devices by `spread`.
        """
        super().__init__()
        self._x, self._targets, self._weights = taught.x, taught.targets, taught.weights
        few = min(batch_size, len(taught.x))
        self._batch_size = few - few % spread.devices
        self._mixup, self._seed, self._spread = mixup, seed, spread
        self._epoch = self.next_epoch = 0
        self._order = np.arange(len(taught.x))

    def __len__(self) -> int:
        return len(self._x) // self._batch_size

    def on_epoch_begin(self) -> None:
        self._epoch = self.next_epoch
        self.next_epoch += 1
        self._order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._x))

    def __getitem__(self, number: int) -> Batch:
        start = number * self._batch_size
        chosen = self._order[start : start + self._batch_size]
        x, targets, weights = self._x[chosen], self._targets[chosen], self._weights[chosen]
        if self._mixup:
            x, targets, weights = self._mixed(number, x, targets, weights)
        fed = len(x) // self._spread.shards
        part = slice(self._spread.shard * fed, (self._spread.shard + 1) * fed)
        return x[part], targets[part], weights[part]

    def _mixed(
        self,
        number: int,
        x: NDArray[np.uint8],
        targets: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> Batch:
        rng = np.random.default_rng([self._seed, self._epoch, number])
        share = np.float32(rng.beta(self._mixup, self._mixup))
        other = rng.permutation(len(x))
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
