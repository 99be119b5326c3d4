"""Worker pool: jobs in, the results of several processes out, in the order of the jobs."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import Final, TypeVar

import cv2

from edge_daemon.batch.build import build_reader
from edge_daemon.batch.reader import FileReader, Job, Result
from edge_daemon.config.schema import Config

AHEAD: Final = 8  # jobs handed out for each worker: none idles while a long video is waited for

Handle = TypeVar("Handle")


class WorkersLost(RuntimeError):
    """A worker ended before its work did: out of memory, perhaps."""


def read_in_processes(settings: str, jobs: Iterable[Job], workers: int) -> Generator[Result]:
    """The results of `jobs`, read by `workers` processes with the settings `settings` (JSON).

    Closing the generator ends the processes. Raises WorkersLost.
    """
    spawn = multiprocessing.get_context("spawn")  # an interpreter's threads do not survive a fork
    with ProcessPoolExecutor(workers, spawn, initializer=_die_on_ctrl_c) as pool:
        try:
            yield from in_order(
                jobs,
                submit=lambda job: pool.submit(read_file, settings, job),
                result=lambda future: future.result(),
                lost=BrokenProcessPool,
                ahead=AHEAD * workers,
            )
        except BaseException:  # do not wait for what nobody wants any more
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def read_file(settings: str, job: Job) -> list[Result]:
    """Read one file, in a process that reads others as well."""
    return list(_reader(settings).read(job))


def in_order(
    jobs: Iterable[Job],
    *,
    submit: Callable[[Job], Handle],
    result: Callable[[Handle], list[Result]],
    lost: type[Exception],
    ahead: int,
) -> Iterator[Result]:
    """Hand out up to `ahead` jobs and give their results in order; `lost` becomes WorkersLost."""
    waiting: deque[Handle] = deque()
    try:
        for job in jobs:
            waiting.append(submit(job))
            if len(waiting) > ahead:
                yield from result(waiting.popleft())
        while waiting:
            yield from result(waiting.popleft())
    except lost as error:
        why = str(error).strip().splitlines()[-1]
        raise WorkersLost(
            f"a worker ended before its work did, and the rest with it: {why}"
        ) from error


@cache
def _reader(settings: str) -> FileReader:
    """Built once in each process."""
    cv2.setNumThreads(1)  # there is a process for every core
    return build_reader(Config.model_validate_json(settings))


def _die_on_ctrl_c() -> None:
    """A terminal sends it to the workers, too: they end without a traceback each."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
