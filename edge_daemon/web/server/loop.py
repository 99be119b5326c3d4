"""The event loop of the web server's thread: the adapter for gevent."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, TypeVar

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.threadpool import ThreadPool

PULSE_S: Final = 1.0  # waiting requests are woken at least this often, so they need no timers

T = TypeVar("T")


class Broadcast:
    """Wakes the requests that wait for it."""

    def __init__(self) -> None:
        self._sent = Event()

    def wait(self) -> None:
        """Wait for the next `send`."""
        self._sent.wait()

    def send(self) -> None:
        """Wake every request that is waiting now."""
        sent, self._sent = self._sent, Event()
        sent.set()


class WorkerThreads:
    """Native threads for work that would block the event loop. Made by `Loop.threads`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = BoundedSemaphore(count)
        self._pool: Any = None

    def run(self, work: Callable[..., T], *values: Any) -> T:
        """Run `work(*values)` in a thread; return its result, or raise its exception.

        Other requests are served meanwhile. If all threads are busy, the call waits for its turn. A
        deadline ends the wait but not the work, whose thread stays busy until it has finished.
        """
        self._free.acquire()
        try:
            job = self._pool.spawn(_outcome, work, values)
        except BaseException:
            self._free.release()
            raise
        job.rawlink(lambda _: self._free.release())
        result, error = job.get()
        if error is not None:
            raise error
        done: T = result
        return done

    def open(self, hub: Any) -> None:
        """Create the threads, which start when they are first needed."""
        self._pool = ThreadPool(self._count, hub)

    def close(self) -> None:
        self._pool.kill()


class Loop:
    """The event loop.

    Any thread may call `ring` and `wake`. `threads` is called before the loop runs, all other
    methods only in the loop's own thread.
    """

    def __init__(self) -> None:
        self._bell: Any = None
        self._pulse: Any = None  # which runs while requests wait
        self._rung = Broadcast()
        self._has_waits = False  # since the last pulse but one
        self._had_waits = False
        self._threads: list[WorkerThreads] = []

    def threads(self, count: int) -> WorkerThreads:
        """Create a group of `count` worker threads for one kind of work."""
        threads = WorkerThreads(count)
        self._threads.append(threads)
        return threads

    def ring(self) -> None:
        """Wake every waiting request: something has changed.

        While no request waits, the loop is not woken.
        """
        if self._has_waits or self._had_waits:
            self.wake()

    def wake(self) -> None:
        """Wake all that wait, also in `idle`."""
        if (bell := self._bell) is not None:
            bell.send()

    def wait(self) -> None:
        """Wait for the next `ring`, at most PULSE_S; the caller then checks what has changed.

        The first to wait for a while is woken at once, because `ring` may have found nobody waiting
        since the caller's last check.
        """
        is_first = not (self._has_waits or self._had_waits)
        self._has_waits = True
        if is_first:
            self._pulse.start(self._beat)
            self.wake()
        self._rung.wait()

    def idle(self) -> None:
        """Wait for the next `wake`; does not make `ring` wake the loop."""
        self._rung.wait()

    def sleep(self, duration_s: float) -> None:
        """Serve other requests for this long."""
        gevent.sleep(duration_s)

    def places(self, count: int) -> AbstractContextManager[Any]:
        """Return a guard that lets `count` requests at a time into its `with` blocks."""
        guard: AbstractContextManager[Any] = BoundedSemaphore(count)
        return guard

    @contextmanager
    def deadline(self, limit_s: float) -> Iterator[None]:
        """Raise TimeoutError when the body takes longer than `limit_s`."""
        with gevent.Timeout(limit_s, TimeoutError()):
            yield

    @contextmanager
    def running(self) -> Iterator[None]:
        """Bind the loop to the calling thread for as long as the body runs."""
        hub = gevent.get_hub()
        for threads in self._threads:
            threads.open(hub)
        bell, pulse = hub.loop.async_(), hub.loop.timer(PULSE_S, PULSE_S)
        bell.start(self._rung.send)
        self._bell, self._pulse = bell, pulse
        try:
            yield
        finally:
            self._bell = None
            for watcher in (bell, pulse):
                watcher.stop()
                watcher.close()
            for threads in self._threads:
                threads.close()
            gc.collect()  # a closed connection's file may be part of a cycle, and needs the hub
            hub.destroy(destroy_loop=True)

    def _beat(self) -> None:
        self._had_waits, self._has_waits = self._has_waits, False
        if not self._had_waits:
            self._pulse.stop()
        self._rung.send()


def _outcome(work: Callable[..., T], values: tuple[Any, ...]) -> tuple[T | None, Exception | None]:
    """Return an exception instead of raising it: gevent prints what a worker thread raises."""
    try:
        return work(*values), None
    except Exception as error:
        return None, error
