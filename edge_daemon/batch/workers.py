"""Reads files in several processes and returns the results in the order of the files."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from typing import Final, TypeVar

import cv2

from edge_daemon.batch.build import build_reader
from edge_daemon.batch.files import Job, Unreadable
from edge_daemon.batch.reader import Result
from edge_daemon.config.schema import Config

AHEAD: Final = 8  # jobs submitted for each worker, so that none idles during a long video

Handle = TypeVar("Handle")


class WorkerProcess:
    """A process that reads files, one at a time; a lost one is replaced for the next file.

    `settings` is the configuration as JSON.
    """

    def __init__(self, settings: str) -> None:
        self._settings = settings
        self._starting = threading.Lock()  # a process cannot be terminated before it has started
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._stopped = False

    def read(self, job: Job) -> list[Result]:
        """Return the results of one file; if the process ends early, only this file is lost."""
        with self._starting:
            if self._stopped:
                return []
            if self._process is None or not self._process.is_alive():
                self._start()
            process, connection = self._process, self._connection
        assert process is not None and connection is not None  # noqa: S101
        try:
            connection.send(job)
            results: list[Result] = connection.recv()
        except (EOFError, OSError):
            return [self._lost(job, process)]
        return results

    def stop(self) -> None:
        """End the process immediately and start no other."""
        with self._starting:
            self._stopped = True
            if self._process is not None:
                self._process.terminate()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")  # the runtime's threads do not survive a fork
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_serve, args=(self._settings, theirs), name="mien-classify", daemon=True
        )
        self._process.start()
        theirs.close()  # now only the worker has it open, so that recv() fails when it ends

    def _lost(self, job: Job, process: SpawnProcess) -> Unreadable:
        process.join()
        code = process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Unreadable(
            f"{job.name}: the process that was reading it ended early ({how}), "
            "perhaps for lack of memory"
        )


def read_in_processes(settings: str, jobs: Iterable[Job], workers: int) -> Generator[Result]:
    """Yield the results of `jobs`, read by `workers` processes with the configuration `settings`.

    Closing the generator ends the processes.
    """
    processes = [WorkerProcess(settings) for _ in range(workers)]
    idle: SimpleQueue[WorkerProcess] = SimpleQueue()
    for process in processes:
        idle.put(process)

    def read(job: Job) -> list[Result]:
        process = idle.get()
        try:
            return process.read(job)
        finally:
            idle.put(process)

    threads = ThreadPoolExecutor(workers)
    try:
        yield from in_order(
            jobs,
            submit=lambda job: threads.submit(read, job),
            result=Future.result,
            ahead=AHEAD * workers,
        )
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.stop()
        threads.shutdown()


def in_order(
    jobs: Iterable[Job],
    *,
    submit: Callable[[Job], Handle],
    result: Callable[[Handle], list[Result]],
    ahead: int,
) -> Iterator[Result]:
    """Submit up to `ahead` jobs at a time and yield their results in the order of the jobs."""
    waiting: deque[Handle] = deque()
    for job in jobs:
        waiting.append(submit(job))
        if len(waiting) > ahead:
            yield from result(waiting.popleft())
    while waiting:
        yield from result(waiting.popleft())


def _end_with_parent() -> None:
    """End this process when its parent ends, even in the middle of a file."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _serve(settings: str, connection: Connection) -> None:
    """Read files until the other side closes the connection: the body of a worker process."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in a terminal reaches this process too
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(1)  # there is a process for every core
    with closing(build_reader(Config.model_validate_json(settings))) as reader:
        while True:
            try:
                job: Job = connection.recv()
            except EOFError:
                return
            connection.send(list(reader.read(job)))
