"""The serving thread's event loop: requests wait in it and are woken.

With `http_server.py` and `http_request.py`, which run in it, the adapter round gevent.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol, TypeVar

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.threadpool import ThreadPool

WORKERS: Final = 3  # native threads for what would hold up everybody: encoding, files, uploads
PULSE_S: Final = 1.0  # so often the loop rings by itself: waits need no timers of their own

T = TypeVar("T")


class Places(AbstractContextManager[Any], Protocol):
    """A number of places, of which each `with` block and each `acquire` takes one."""

    def acquire(self) -> object:
        """Wait for a place and take it."""

    def release(self) -> None:
        """Give the place back."""


class Signal:
    """Wakes the requests that wait for it; a part of the loop."""

    def __init__(self) -> None:
        self._sent = Event()

    def wait(self) -> None:
        """Wait until it is sent the next time."""
        self._sent.wait()

    def send(self) -> None:
        sent, self._sent = self._sent, Event()
        sent.set()


class Loop:
    """The event loop, as the application sees it.

    `ring` may be called from any thread; everything else only while answering a request.
    """

    def __init__(self) -> None:
        self._bell: Any = None
        self._rung = Signal()
        self._workers: Any = None

    def ring(self) -> None:
        """Wake every request that waits: something has changed."""
        if (bell := self._bell) is not None:
            bell.send()

    def wait(self) -> None:
        """Wait for the next `ring`, PULSE_S at most."""
        self._rung.wait()

    def sleep(self, duration_s: float) -> None:
        """Let other requests go on for so long."""
        gevent.sleep(duration_s)

    def places(self, count: int) -> Places:
        """Lets `count` requests at a time into its `with` blocks; the others wait."""
        places: Places = BoundedSemaphore(count)
        return places

    def offload(self, work: Callable[..., T], *values: Any) -> T:
        """What `work(*values)` gives or raises, in a native thread while others are served."""
        result, error = self._workers.apply(_outcome, (work, values))
        if error is not None:
            raise error
        done: T = result
        return done

    def offload_in(self, places: Places, work: Callable[..., T], *values: Any) -> T:
        """As `offload`, in one of `places`, which is free again only when the thread has finished.

        A deadline ends the wait, but no native work: without this, others would start beside it.
        """
        places.acquire()
        try:
            job = self._workers.spawn(_outcome, work, values)
        except BaseException:
            places.release()
            raise
        job.rawlink(lambda _: places.release())
        result, error = job.get()
        if error is not None:
            raise error
        done: T = result
        return done

    @contextmanager
    def deadline(self, limit_s: float) -> Iterator[None]:
        """Raise TimeoutError when the body takes longer than `limit_s`."""
        with gevent.Timeout(limit_s, TimeoutError()):
            yield

    @contextmanager
    def running(self) -> Iterator[None]:
        """Belong to the calling thread for as long as the body runs."""
        hub = gevent.get_hub()
        self._workers = ThreadPool(WORKERS, hub)
        bell, pulse = hub.loop.async_(), hub.loop.timer(PULSE_S, PULSE_S)
        bell.start(self._rung.send)
        pulse.start(self._rung.send)
        self._bell = bell
        try:
            yield
        finally:
            self._bell = None
            for watcher in (bell, pulse):
                watcher.stop()
                watcher.close()
            self._workers.kill()
            gc.collect()  # a cut connection's file may wait in a cycle, and closes through the hub
            hub.destroy(destroy_loop=True)


def _outcome(work: Callable[..., T], values: tuple[Any, ...]) -> tuple[T | None, Exception | None]:
    """What comes of it; gevent would print what a worker raises, for whom it is no surprise too."""
    try:
        return work(*values), None
    except Exception as error:  # raised anew where it is waited for
        return None, error
