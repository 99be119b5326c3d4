"""Events from whoever makes them in; the sinks' backlogs and the latest few for the page out."""

from __future__ import annotations

import threading
from collections import deque
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

    def put(self, event: Event) -> None:
        with self._lock:
            self._recent.appendleft(event)
        for sink in self._sinks:
            sink.put(event)

    def recent(self) -> list[Event]:
        """The latest events, newest first."""
        with self._lock:
            return list(self._recent)
