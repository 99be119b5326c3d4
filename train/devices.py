"""Data-parallel training: over every local accelerator, or those of several hosts, by JAX."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras

from train.errors import TrainError


@dataclass(frozen=True, slots=True)
class Cluster:
    """Hosts that train together: the first one's `address` (host:port), how many, which is this."""

    address: str
    processes: int
    process: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How a batch is spread: over so many `devices`, of which `shards` processes feed each a part.

    This process feeds part `shard`; the first one writes the files.
    """

    devices: int = 1
    shards: int = 1
    shard: int = 0

    @property
    def writes(self) -> bool:
        return self.shard == 0

    def check(self, batch_size: int) -> None:
        """Raise TrainError where a batch cannot be dealt out evenly."""
        if batch_size % self.devices:
            raise TrainError(
                f"a batch of {batch_size} cannot be dealt to {self.devices} devices evenly; "
                "use as many of them as divide it."
            )


def use_all_devices(cluster: Cluster | None) -> None:
    """Let what is built from now on be trained on all devices, of all hosts of `cluster`.

    To be called before anything else of Keras. Raises TrainError where Keras runs on another
    backend than JAX, or the hosts do not meet.
    """
    if keras.config.backend() != "jax":
        raise TrainError(
            "--devices all needs Keras' JAX backend: install jax and set KERAS_BACKEND=jax."
        )
    keras.utils.set_random_seed(0)  # else the hosts would agree on one, which the CPU cannot
    if cluster:
        try:
            keras.distribution.initialize(cluster.address, cluster.processes, cluster.process)
        except (RuntimeError, ValueError) as error:
            raise TrainError(f"--coordinator {cluster.address}: {error}") from error
    # Batches gives each host its own part of a batch.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


@contextmanager
def one_device() -> Iterator[None]:
    """Let what is built and run inside stay on one device."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def spread() -> Spread:
    """How the batches of this process are spread at present."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return Spread()
    return Spread(
        distribution.num_model_replicas, distribution.num_processes, distribution.data_shard_id
    )
