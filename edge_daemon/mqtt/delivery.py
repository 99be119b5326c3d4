"""Delivery of events: the log's tail in, messages out, each until the broker acknowledges it.

The event log is the queue, and a position in it says what the broker has: nothing is copied, and
nothing lost as long as the log has it (docs/adr/0010-the-log-is-the-queue.md).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from edge_daemon.core.types import rfc3339
from edge_daemon.events.history import Entry
from edge_daemon.events.tail import EventTail
from edge_daemon.mqtt import messages as mqtt_messages
from edge_daemon.mqtt.messages import Message, Topics
from edge_daemon.mqtt.position import Position, PositionFile

SAVE_S: Final = 10.0  # how often the position is written while it moves


@dataclass(slots=True)
class _Sent:
    """An event on its way, until the broker acknowledges its number."""

    number: int
    id: str
    is_redelivered: bool
    is_acknowledged: bool = False


class EventDelivery:
    """Sends the events after the saved position, in order.

    Counts those acknowledged since the start, and those of them that the broker may have twice.
    """

    def __init__(self, *, topics: Topics, tail: EventTail, file: PositionFile) -> None:
        self.acknowledged = 0
        self.redelivered = 0
        self._topics, self._tail, self._file = topics, tail, file
        position = file.load()
        self._position = position.acknowledged
        self._doubtful = position.sent  # events up to this one may have been delivered before
        self._on_the_way: deque[_Sent] = deque()
        self._connected_at = ""
        self._saved, self._saved_s = "", 0.0
        self.disconnected()

    @property
    def is_done(self) -> bool:
        """Whether all that was sent is acknowledged."""
        return not self._on_the_way

    def connected(self) -> None:
        """From now on events may be sent."""
        self._connected_at = rfc3339(datetime.now(UTC))
        self._save(connected=True)

    def disconnected(self) -> None:
        """What was sent and not acknowledged will be sent again; the broker may have it or not."""
        if self._on_the_way:
            self._doubtful = self._doubtful or self._on_the_way[-1].id  # the later of the two
            self._on_the_way.clear()
        self._tail.go_back(self._position)
        self._save(connected=False)

    def send(self, publish: Callable[[Message], int], *, window: int) -> None:
        """Send what there is, as long as no more than `window` events are on their way."""
        for entry in self._tail.take(max(window - len(self._on_the_way), 0)):
            is_redelivered = self._is_doubtful(entry)
            message = mqtt_messages.event(
                self._topics,
                entry,
                is_late=entry.event["time"] < self._connected_at,
                is_redelivered=is_redelivered,
            )
            self._on_the_way.append(_Sent(publish(message), entry.id, is_redelivered))

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """The broker has the messages of these numbers."""
        for sent in self._on_the_way:
            sent.is_acknowledged = sent.is_acknowledged or sent.number in numbers
        while self._on_the_way and self._on_the_way[0].is_acknowledged:
            sent = self._on_the_way.popleft()
            self._position = sent.id
            self.acknowledged += 1
            self.redelivered += sent.is_redelivered
        if time.monotonic() - self._saved_s >= SAVE_S and self._saved != self._position:
            self._save(connected=True)

    def _is_doubtful(self, entry: Entry) -> bool:
        if not self._doubtful:
            return False
        is_last = entry.id == self._doubtful
        if is_last or entry.event["time"] > self._doubtful.partition("/")[0]:
            self._doubtful = ""
        return is_last or bool(self._doubtful)

    def _save(self, *, connected: bool) -> None:
        self._saved, self._saved_s = self._position, time.monotonic()
        self._file.save(Position(self._position, self._doubtful), connected=connected)
