"""Backlog[T]: a bounded first-in first-out queue between threads, for events."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Backlog(Generic[T]):
    """Never blocks the writer: when full it drops the oldest item and counts it in `dropped`."""

    def __init__(self, limit: int) -> None:
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._limit = limit
        self._closed = False
        self.dropped = 0

    def put(self, item: T) -> None:
        with self._changed:
            if len(self._items) == self._limit:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify()

    def get(self, timeout_s: float) -> T | None:
        """The oldest item; None if none came within `timeout_s`, or closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        """No more will be put; what is queued can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_closed(self, timeout_s: float) -> bool:
        """Wait until the backlog is closed; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, timeout_s)

    def __len__(self) -> int:
        """How many items wait."""
        with self._changed:
            return len(self._items)

    @property
    def drained(self) -> bool:
        """True once closed and empty."""
        with self._changed:
            return self._closed and not self._items
