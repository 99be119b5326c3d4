"""Data-parallel training on every local accelerator, or on those of several hosts, by JAX."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras

from train.errors import TrainError


@dataclass(frozen=True, slots=True)
class Cluster:
    """Hosts that train together.

    `address` is the first host's host:port, `processes` the number of hosts, `process` the number
    of this one, from 0.
    """

    address: str
    processes: int
    process: int


@dataclass(frozen=True, slots=True)
class Sharding:
    """The division of a batch over `devices`, fed by `shards` processes.

    This process feeds part `shard`; the process with part 0 writes the files.
    """

    devices: int = 1
    shards: int = 1
    shard: int = 0

    @property
    def writes(self) -> bool:
        return self.shard == 0

    def check(self, batch_size: int) -> None:
        """Raise TrainError if a batch cannot be divided evenly."""
        if batch_size % self.devices:
            raise TrainError(
                f"a batch of {batch_size} cannot be divided evenly over {self.devices} devices; "
                "use a number of devices that divides it."
            )


def use_all_devices(cluster: Cluster | None) -> None:
    """Train networks that are built from now on, on all devices of all hosts of `cluster`.

    Call it before anything else of Keras. Raises TrainError if Keras runs on another backend
    than JAX, or the hosts cannot connect.
    """
    if keras.config.backend() != "jax":
        raise TrainError(
            "--devices all needs Keras' JAX backend: install jax and set KERAS_BACKEND=jax."
        )
    # Without a seed the hosts would have to agree on one, which JAX cannot do on CPUs.
    keras.utils.set_random_seed(0)
    if cluster:
        try:
            keras.distribution.initialize(cluster.address, cluster.processes, cluster.process)
        except (RuntimeError, ValueError) as error:
            raise TrainError(f"--coordinator {cluster.address}: {error}") from error
    # Batches gives each host its own part of a batch.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


@contextmanager
def one_device() -> Iterator[None]:
    """Build and run networks in the block on one device."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def sharding() -> Sharding:
    """Return how the batches of this process are divided at present."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return Sharding()
    return Sharding(
        distribution.num_model_replicas, distribution.num_processes, distribution.data_shard_id
    )
