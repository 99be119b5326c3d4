"""Reads a source in a separate thread, which can be abandoned.

`VideoCapture.read()` may block in the driver forever and cannot be interrupted. The capture thread
therefore waits for pictures with a timeout, and abandons a reader that hangs.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Final

from edge_daemon.capture.sources import OpenSource, Source, TimedImage
from edge_daemon.core.threads import Worker

_POLL_S: Final = 0.2


class Reader:
    """Opens a source, reads it until it ends or the reader is left, and closes it.

    `publish` is called in the reader's thread with each picture, once all earlier ones have been
    handled; pictures for which it returns False are those that `next` returns.
    """

    def __init__(
        self,
        open_source: OpenSource,
        publish: Callable[[Reader, TimedImage], bool] = lambda reader, image: False,
    ) -> None:
        self.source: Source | None = None  # once it is open
        self._open_source, self._publish = open_source, publish
        self._results: queue.SimpleQueue[TimedImage | BaseException | None] = queue.SimpleQueue()
        self._full = threading.Lock()  # held while a picture is read and handled
        self._has_taken = False  # whether `next` has returned a picture that is being handled
        self._left = threading.Event()
        self._left_s = 0.0
        self._worker = Worker("camera-reader", self._run, self._results.put)
        self._worker.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._worker.alive

    @property
    def hung_s(self) -> float:
        """How long the thread has been blocked since the reader was left, in seconds."""
        return time.monotonic() - self._left_s if self._left.is_set() and self.alive else 0.0

    def next(self, timeout_s: float) -> TimedImage | None:
        """Return the next picture; None if none came within `timeout_s`, or after `wake`.

        The picture that was returned before counts as handled now. Raises EOFError at the end of
        the source, and any exception of opening or reading it.
        """
        if self._has_taken:
            self._has_taken = False
            self._full.release()
        try:
            result = self._results.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(result, BaseException):
            raise result
        self._has_taken = result is not None
        return result

    def wake(self) -> None:
        """Make `next` return; any thread may call this."""
        self._results.put(None)

    def leave(self, timeout_s: float) -> bool:
        """Stop reading; False if the thread is still blocked after `timeout_s`.

        A blocked thread closes its source if it ever returns; its picture is discarded.
        """
        self._left_s = time.monotonic()
        self._left.set()
        return self._worker.join(timeout_s)

    def _run(self) -> None:
        source = self._open_source()
        self.source = source
        try:
            self._read_all(source)
        finally:
            source.close()
        raise EOFError(f"{source.name} delivers no more")

    def _read_all(self, source: Source) -> None:
        while self._may_read() and (image := source.read()) is not None:
            if self._publish(self, image):
                self._full.release()
            else:
                self._results.put(image)

    def _may_read(self) -> bool:
        """Wait until the last picture was handled; return False once the reader is left."""
        while not self._left.is_set():
            if self._full.acquire(timeout=_POLL_S):
                return True
        return False
