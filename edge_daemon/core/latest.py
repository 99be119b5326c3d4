"""Latest[T]: a slot that holds only the newest value, for frames and views."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The slot was closed: nothing more will come."""


class Latest(Generic[T]):
    """A hand-over between threads that keeps the newest value and counts what it overwrites.

    Any number of readers may wait; each remembers the sequence number it saw last.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._seq = 0
        self._taken = 0
        self._closed = False
        self._listener: Callable[[], None] | None = None
        self.overwritten = 0

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after each change, in the writer's thread; it must not block."""
        self._listener = listener

    @property
    def seq(self) -> int:
        """The sequence number of the newest value, 0 before the first."""
        return self._seq

    def put(self, value: T) -> None:
        """Publish `value`; a value that no reader took is counted as overwritten."""
        with self._changed:
            if self._seq > self._taken:
                self.overwritten += 1
            self._value = value
            self._seq += 1
            self._changed.notify_all()
        self._tell()

    def get(self, after: int = 0, timeout_s: float = 1.0) -> tuple[int, T] | None:
        """Wait for a value newer than sequence number `after`; None after `timeout_s`.

        Returns its sequence number and the value. Raises Closed once the slot is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._seq > after, timeout_s)
            if self._closed:
                raise Closed
            if self._seq <= after or self._value is None:
                return None
            self._taken = self._seq
            self._changed.notify_all()
            return self._seq, self._value

    def wait_taken(self, timeout_s: float) -> bool:
        """Wait until a reader took the newest value (lossless sources); False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._closed or self._taken >= self._seq, timeout_s
            )

    def peek(self) -> T | None:
        """The newest value, without waiting and without counting as a reader."""
        with self._changed:
            return self._value

    def close(self) -> None:
        """Wake every reader with Closed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._tell()

    def _tell(self) -> None:
        if self._listener is not None:
            self._listener()
