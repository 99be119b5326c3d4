"""Distributes new events: to the log's backlog, to the page, and to the log's followers."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from edge_daemon.core.slots import Backlog
from edge_daemon.core.types import rfc3339
from edge_daemon.events.clock import ClockWatch
from edge_daemon.events.events import TYPES, Event
from edge_daemon.events.log_reader import Entry, EventIds, id_order

EXPRESSION_STARTS: Final = ("expression_start", "expression_change")
RECENT: Final = 30  # the number of events in /state
KEPT: Final = 300  # events kept in memory; a follower further behind has to read the log


class EventFeed:
    """Gives every event its id, passes it to each sink and keeps the newest ones.

    `last_id` is the id of the last event in the log; new ids continue from it.
    """

    def __init__(self, sinks: Sequence[Backlog[Event]], last_id: str = "") -> None:
        self._sinks = tuple(sinks)
        self._lock = threading.Lock()
        self._ids = EventIds(last_id)
        self._kept: deque[Entry] = deque(maxlen=KEPT)
        self._forgotten = last_id  # the last event that is not in `_kept` any more
        self._listeners: list[Callable[[], None]] = []
        self._clock: ClockWatch | None = None
        self._put_s = 0.0  # when the newest event was put
        self._counts = Counter(dict.fromkeys(TYPES, 0))
        self._expressions: Counter[str] = Counter()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each event, in the thread that calls `put`; it must not block."""
        self._listeners.append(listener)

    def follow_clock(self, clock: ClockWatch) -> None:
        """Put the event of a jump of the clock before the first event with the new time."""
        self._clock, self._put_s = clock, time.monotonic()

    def check_clock(self) -> None:
        """Put the event of a jump of the clock since the last event, or of a day without any."""
        with self._lock:
            has_new = self._put_jump() or self._put_alive()
        if has_new:
            self._tell()

    def put(self, event: Event) -> Event:
        """Add `event` as the newest; return it with the time that it has in the log."""
        with self._lock:
            self._put_jump()
            if self._clock is not None:
                event = self._clock.corrected(event)
            self._add(event)
        self._tell()
        return event

    def _put_jump(self) -> bool:
        return self._clock is not None and self._add_any(self._clock.jump())

    def _put_alive(self) -> bool:
        quiet_s = time.monotonic() - self._put_s
        return self._clock is not None and self._add_any(self._clock.alive(quiet_s))

    def _add_any(self, event: Event | None) -> bool:
        if event is not None:
            self._add(event)
        return event is not None

    def _add(self, event: Event) -> None:
        self._put_s = time.monotonic()
        event = replace(event, id=self._ids.next(rfc3339(event.at)))
        if len(self._kept) == KEPT:
            self._forgotten = self._kept[0].id
        self._kept.append(Entry(event.id, event.as_dict()))
        self._counts[event.type] += 1
        if event.type in EXPRESSION_STARTS:
            self._expressions[event.fields["label"]] += 1
        for sink in self._sinks:  # within the lock: in the same order for all
            sink.put(event)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    @property
    def counts(self) -> dict[str, int]:
        """How many events of each type there were."""
        with self._lock:
            return dict(self._counts)

    @property
    def expressions(self) -> dict[str, int]:
        """How often each expression started."""
        with self._lock:
            return dict(self._expressions)

    @property
    def last_id(self) -> str:
        """The id of the newest event; "" if there is none, not even in the log."""
        with self._lock:
            return self._ids.last

    def recent(self) -> list[Entry]:
        """Return the newest events for the page, newest first."""
        with self._lock:
            return list(self._kept)[: -RECENT - 1 : -1]

    def kept(self) -> list[Entry]:
        """Return the events still in memory, oldest first."""
        with self._lock:
            return list(self._kept)

    def after(self, id_: str) -> list[Entry] | None:
        """Return the events after the one with this id; None if not all of them are in memory."""
        with self._lock:
            if id_order(id_) < id_order(self._forgotten):
                return None
            return [entry for entry in self._kept if id_order(entry.id) > id_order(id_)]
