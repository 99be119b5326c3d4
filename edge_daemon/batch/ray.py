"""Reads files on a Ray cluster.

Every machine needs the same version of Mien, and files and model under the same paths, for example
on a shared disk.
https://docs.ray.io/en/latest/ray-core/tasks.html
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Generator, Iterable
from contextlib import redirect_stdout
from functools import cache
from typing import Any

from edge_daemon.batch.build import build_reader
from edge_daemon.batch.files import Job, Unreadable
from edge_daemon.batch.reader import FileReader, Result
from edge_daemon.batch.workers import AHEAD, in_order
from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError

LIMITS = ("OPENCV_IO_MAX_IMAGE_PIXELS",)  # variables that OpenCV reads, passed on to the cluster


class RayUnavailable(UserError):
    """Ray is not installed, or no cluster answers; the message says what to do."""


def read_on_ray(address: str, settings: str, jobs: Iterable[Job]) -> Generator[Result]:
    """Yield the results of `jobs` in their order, read by the cluster at `address`.

    `address` is an address for `ray.init`: "auto", "ray://HOST:10001", or "local" for a cluster of
    this machine and this run. The first two need a cluster with the same versions of Ray and
    Python. `settings` is the configuration as JSON. Raises RayUnavailable.
    """
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise RayUnavailable(f"--ray needs Ray: pip install '.[ray]' ({error})") from error
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # avoids a warning
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.WARNING,
            runtime_env={
                "env_vars": {name: os.environ[name] for name in LIMITS if name in os.environ}
            },
        )
    except Exception as error:  # Ray has no specific exception for processes that do not start
        why = str(error).strip().partition("\n")[0]
        raise RayUnavailable(f"--ray {address}: no Ray cluster answers there: {why}") from error
    task = ray.remote(num_cpus=1)(_read)

    def result(handle: tuple[Job, Any]) -> list[Result]:
        job, answer = handle
        try:
            results: list[Result] = ray.get(answer)
        except ray.exceptions.RayError as error:
            why = str(error).strip().splitlines()[-1]
            return [Unreadable(f"{job.name}: the worker that was reading it was lost: {why}")]
        return results

    try:
        with redirect_stdout(sys.stderr):  # Ray prints messages about lost workers
            yield from in_order(
                jobs,
                submit=lambda job: (job, task.remote(settings, job)),
                result=result,
                ahead=AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1),
            )
    finally:
        ray.shutdown()


def _read(settings: str, job: Job) -> list[Result]:
    """Read one file on a worker of the cluster; the worker keeps its reader for further files."""
    return list(_reader(settings).read(job))


@cache
def _reader(settings: str) -> FileReader:
    return build_reader(Config.model_validate_json(settings))
