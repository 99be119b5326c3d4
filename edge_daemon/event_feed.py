"""Events from whoever makes them in; the sinks' backlogs and the latest few for the page out."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence

from edge_daemon.backlog import Backlog
from edge_daemon.events import Event

RECENT = 30


class EventFeed:
    """Hands every event to each sink's backlog, and remembers the latest."""

    def __init__(self, sinks: Sequence[Backlog[Event]]) -> None:
        self._sinks = tuple(sinks)
        self._lock = threading.Lock()
        self._recent: deque[Event] = deque(maxlen=RECENT)
        self._counts: Counter[str] = Counter()

    def put(self, event: Event) -> None:
        with self._lock:
            self._recent.appendleft(event)
            self._counts[event.type] += 1
        for sink in self._sinks:
            sink.put(event)

    @property
    def counts(self) -> dict[str, int]:
        """How many events of each type there have been."""
        with self._lock:
            return dict(self._counts)

    def recent(self) -> list[Event]:
        """The latest events, newest first."""
        with self._lock:
            return list(self._recent)
