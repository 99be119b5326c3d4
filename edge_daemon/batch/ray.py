"""Ray cluster: jobs in, the results of many machines out. The adapter of ray.

Every machine needs Mien installed alike, and files and model under the same paths, as on a shared
disk. https://docs.ray.io/en/latest/ray-core/tasks.html
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable

from edge_daemon.batch.reader import Job, Result
from edge_daemon.batch.workers import AHEAD, in_order, read_file
from edge_daemon.core.errors import UserError, reason_of


class RayUnavailable(UserError):
    """Ray is not installed, or no cluster answers; the message says what to do."""


def read_on_ray(address: str, settings: str, jobs: Iterable[Job]) -> Generator[Result]:
    """The results of `jobs`, in their order, read by the cluster at `address`.

    `address` is as `ray.init` takes it: "auto", "ray://HOST:10001", or "local" for one made for
    this run on this machine; the first two find a cluster of the same versions of Ray and Python
    only. `settings` is the configuration as JSON. Raises RayUnavailable, and
    WorkersLost when a machine is lost and its files cannot be read elsewhere either.
    """
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise RayUnavailable(f"--ray needs Ray: pip install '.[ray]' ({error})") from error
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns of a change
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except Exception as error:  # Ray raises nothing more special where its processes do not start
        raise RayUnavailable(
            f"--ray {address}: no Ray cluster answers there: {reason_of(error)}"
        ) from error
    task = ray.remote(num_cpus=1)(read_file)
    try:
        yield from in_order(
            jobs,
            submit=lambda job: task.remote(settings, job),
            result=ray.get,
            lost=ray.exceptions.RayError,
            ahead=AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1),
        )
    finally:
        ray.shutdown()
