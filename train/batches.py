"""The batches of an epoch: shuffled and mixed, the same for the same seed and epoch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.devices import Sharding
from train.targets import TrainingSet

Batch = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Yields every face once an epoch, except those left over that do not fill a batch.

    All random numbers follow from the seed and the epoch alone, so that a resumed run gets the
    batches of an uninterrupted one. `next_epoch` is the epoch to begin with.
    """

    def __init__(
        self,
        training: TrainingSet,
        batch_size: int,
        *,
        mixup: float,
        mixup_epochs: int,
        seed: int,
        sharding: Sharding,
    ) -> None:
        """Mix pairs of faces in the first `mixup_epochs` epochs.

        `mixup` is the alpha of Zhang et al., arXiv:1710.09412; 0 disables it. `sharding` decides
        which part of each batch this process feeds to its devices.
        """
        super().__init__()
        self._x, self._targets, self._weights = training.x, training.targets, training.weights
        size = min(batch_size, len(training.x))
        self._batch_size = size - size % sharding.devices
        self._mixup, self._mixup_epochs = mixup, mixup_epochs
        self._seed, self._sharding = seed, sharding
        self._epoch = self.next_epoch = 0
        self._order = np.arange(len(training.x))

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
        if self._mixup and self._epoch < self._mixup_epochs:
            x, targets, weights = self._mixed(number, x, targets, weights)
        fed = len(x) // self._sharding.shards
        part = slice(self._sharding.shard * fed, (self._sharding.shard + 1) * fed)
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
