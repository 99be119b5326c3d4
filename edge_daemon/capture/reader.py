"""Reader: reads one opening of a source in a thread of its own, which may be left behind.

`VideoCapture.read()` can block for ever in the driver and cannot be interrupted. So nobody waits
for it: who waits for its pictures does so with a timeout, and leaves the reader when it hangs.
"""

from __future__ import annotations

import queue
import threading
import time

from edge_daemon.capture.opener import OpenSource
from edge_daemon.capture.sources import Source
from edge_daemon.core.types import ImageBgr

_POLL_S = 0.2


class Reader:
    """Opens a source, reads until it ends or the reader is left, and closes it."""

    def __init__(self, open_source: OpenSource) -> None:
        self.source: Source | None = None  # once it is open
        self._open_source = open_source
        self._results: queue.SimpleQueue[ImageBgr | BaseException] = queue.SimpleQueue()
        self._room = threading.Semaphore()  # for one picture, read while the last is looked at
        self._left = threading.Event()
        self._left_s = 0.0
        self._thread = threading.Thread(target=self._run, name="camera-reader", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def hung_s(self) -> float:
        """For how long the thread has gone on hanging since the reader was left."""
        return time.monotonic() - self._left_s if self._left.is_set() and self.alive else 0.0

    def next(self, timeout_s: float) -> ImageBgr | None:
        """The next picture; None when none came within `timeout_s`.

        Raises EOFError when the source delivers no more, and whatever opening or reading raised.
        """
        try:
            result = self._results.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(result, BaseException):
            raise result
        self._room.release()
        return result

    def leave(self, timeout_s: float) -> bool:
        """Stop reading; False if the thread still hangs after `timeout_s`.

        A thread that hangs closes its source if it ever comes back; its picture is discarded.
        """
        self._left_s = time.monotonic()
        self._left.set()
        self._thread.join(timeout_s)
        return not self.alive

    def _run(self) -> None:
        try:
            source = self._open_source()
            self.source = source
            try:
                self._read_all(source)
            finally:
                source.close()
            end: BaseException = EOFError(f"{source.name} delivers no more")
        except BaseException as error:
            end = error
        self._results.put(end)

    def _read_all(self, source: Source) -> None:
        while self._has_room():
            bgr = source.read()
            if bgr is None:
                return
            self._results.put(bgr)

    def _has_room(self) -> bool:
        """Wait until the last picture has been taken; False once the reader is left."""
        while not self._left.is_set():
            if self._room.acquire(timeout=_POLL_S):
                return True
        return False
