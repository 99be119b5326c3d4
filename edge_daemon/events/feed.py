"""Events from whoever makes them in; the sinks' backlogs and the latest few for the page out."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence

from edge_daemon.core.slots import Backlog
from edge_daemon.events.events import TYPES, Event
from edge_daemon.events.history import Entry, EventIds

BEGINNINGS = ("expression_start", "expression_change")
RECENT = 30  # what /state tells
KEPT = 300  # what a reader of the live events may be behind without the log


class EventFeed:
    """Hands every event to each sink's backlog, and remembers the latest."""

    def __init__(self, sinks: Sequence[Backlog[Event]]) -> None:
        self._sinks = tuple(sinks)
        self._lock = threading.Lock()
        self._ids = EventIds()
        self._kept: deque[Entry] = deque(maxlen=KEPT)
        self._listeners: list[Callable[[], None]] = []
        self._counts = Counter(dict.fromkeys(TYPES, 0))
        self._expressions: Counter[str] = Counter()

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after each event, in its maker's thread; it must not block."""
        self._listeners.append(listener)

    def put(self, event: Event) -> None:
        values = event.as_dict()
        with self._lock:
            self._kept.append(Entry(self._ids.next(values["time"]), values))
            self._counts[event.type] += 1
            if event.type in BEGINNINGS:
                self._expressions[event.fields["label"]] += 1
            for sink in self._sinks:  # in the same order, whoever else puts one now
                sink.put(event)
        for listener in self._listeners:
            listener()

    @property
    def counts(self) -> dict[str, int]:
        """How many events of each type there have been."""
        with self._lock:
            return dict(self._counts)

    @property
    def expressions(self) -> dict[str, int]:
        """How often each expression has begun."""
        with self._lock:
            return dict(self._expressions)

    def recent(self) -> list[Entry]:
        """The latest events, newest first."""
        with self._lock:
            return list(self._kept)[: -RECENT - 1 : -1]

    def kept(self) -> list[Entry]:
        """The events still at hand, oldest first."""
        with self._lock:
            return list(self._kept)
