"""Passes values between threads: a slot for the newest value, and a bounded queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The slot was closed: no more values will come."""


class Latest(Generic[T]):
    """A slot that keeps only the newest value and counts the ones it overwrites.

    Any number of readers may wait; each remembers the sequence number it got last.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._seq = 0
        self._taken = 0
        self._closed = False
        self._listeners: tuple[Callable[[], None], ...] = ()
        self.overwritten = 0

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change, in the writer's thread; it must not block."""
        self._listeners = (*self._listeners, listener)

    @property
    def seq(self) -> int:
        """The sequence number of the newest value, 0 before the first."""
        return self._seq

    def put(self, value: T) -> None:
        """Publish `value`; if no reader took the one before, count that as overwritten."""
        with self._changed:
            if self._seq > self._taken:
                self.overwritten += 1
            self._value = value
            self._seq += 1
            self._changed.notify_all()
        self._notify()

    def get(self, after: int = 0, timeout_s: float = 1.0) -> tuple[int, T] | None:
        """Wait for a value newer than sequence number `after`.

        Returns its sequence number and the value; None after `timeout_s`. Raises Closed once the
        slot is closed.
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
        """Return the newest value, without waiting and without counting as a reader."""
        with self._changed:
            return self._value

    def close(self) -> None:
        """Raise Closed in every reader."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._notify()

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()


class Backlog(Generic[T]):
    """A bounded first-in, first-out queue that never blocks its writer.

    When full it drops the oldest item and counts it in `dropped`.
    """

    def __init__(self, limit: int) -> None:
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._limit = limit
        self._closed = False
        self.dropped = 0

    def put(self, item: T) -> None:
        """Add `item` at the end."""
        with self._changed:
            if len(self._items) == self._limit:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify()

    def get(self, timeout_s: float) -> T | None:
        """Take the oldest item; None after `timeout_s`, or when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Announce that no more items will be put; queued ones can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_closed(self, timeout_s: float) -> bool:
        """Wait until the backlog is closed; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, timeout_s)

    def __len__(self) -> int:
        """Return how many items wait."""
        with self._changed:
            return len(self._items)

    @property
    def drained(self) -> bool:
        """Whether it is closed and empty."""
        with self._changed:
            return self._closed and not self._items
