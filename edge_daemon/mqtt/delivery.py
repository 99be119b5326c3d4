"""Delivers the events of the log, each until the broker acknowledges it.

The event log is the queue, and a position in it marks the last event that the broker has. Nothing
is copied, and no event is lost while it is in the log (docs/adr/0010-the-log-is-the-queue.md).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_daemon.events.log_reader import id_order
from edge_daemon.events.tail import EventFollower, Position, PositionFile
from edge_daemon.mqtt import messages as mqtt_messages
from edge_daemon.mqtt.messages import Message, Topics

SAVE_S: Final = 10.0  # how often a position that moves is saved
SKIPPED: Final = 0  # the number of a message that was not sent because it is too large


@dataclass(slots=True)
class _Pending:
    """An event that was sent and whose number is not yet acknowledged."""

    number: int
    id: str
    is_redelivered: bool
    is_acknowledged: bool
    sent_s: float


class EventDelivery:
    """Sends the events after the saved position, in order.

    `newest_id` returns the id of the newest event. `acknowledged` counts the events that the broker
    has acknowledged since the start, `redelivered` those of them that it may have twice.
    """

    def __init__(
        self,
        *,
        topics: Topics,
        follower: EventFollower,
        file: PositionFile,
        newest_id: Callable[[], str],
    ) -> None:
        self.acknowledged = 0
        self.redelivered = 0
        self._topics, self._follower, self._file = topics, follower, file
        self._newest_id = newest_id
        position = file.load(newest_id())
        # If the log was deleted, the saved position is after its last event.
        self._position = min(position.acknowledged, newest_id(), key=id_order)
        self._doubtful = position.sent  # events up to this one may have been delivered before
        self._pending: deque[_Pending] = deque()
        self._late_until = ""
        self._saved, self._saved_s = "", 0.0
        self._progress_s = 0.0  # when the last event was acknowledged
        self.disconnected()

    @property
    def is_done(self) -> bool:
        """Whether everything sent is acknowledged."""
        return not self._pending

    @property
    def waited_s(self) -> float:
        """How long nothing has been acknowledged although something was sent."""
        if not self._pending:
            return 0.0
        return time.monotonic() - max(self._pending[0].sent_s, self._progress_s)

    def connected(self) -> None:
        """Begin to send; events up to now are marked as late."""
        self._late_until = self._newest_id()
        self._save(connected=True)

    def disconnected(self) -> None:
        """Go back to the last acknowledged event; later ones are sent again."""
        if self._pending:
            self._doubtful = max(self._doubtful, self._pending[-1].id, key=id_order)
            self._pending.clear()
        self._follower.go_back(self._position)
        self._save(connected=False)

    def send(self, publish: Callable[[Message], int], *, window: int) -> None:
        """Send events until `window` events are pending.

        `publish` returns the number by which a message is acknowledged, or SKIPPED.
        """
        for entry in self._follower.take(max(window - len(self._pending), 0)):
            is_redelivered = id_order(entry.id) <= id_order(self._doubtful)
            message = mqtt_messages.event(
                self._topics,
                entry,
                is_late=id_order(entry.id) <= id_order(self._late_until),
                is_redelivered=is_redelivered,
            )
            number = publish(message)
            self._pending.append(
                _Pending(number, entry.id, is_redelivered, number == SKIPPED, time.monotonic())
            )

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """Record that the broker has acknowledged the messages with these numbers."""
        if numbers:
            self._progress_s = time.monotonic()
        for sent in self._pending:
            sent.is_acknowledged = sent.is_acknowledged or sent.number in numbers
        while self._pending and self._pending[0].is_acknowledged:
            sent = self._pending.popleft()
            self._position = sent.id
            if sent.number != SKIPPED:
                self.acknowledged += 1
                self.redelivered += sent.is_redelivered
        if time.monotonic() - self._saved_s >= SAVE_S and self._saved != self._position:
            self._save(connected=True)

    def _save(self, *, connected: bool) -> None:
        self._saved, self._saved_s = self._position, time.monotonic()
        position = Position(self._position, self._doubtful)
        self._file.save(position, is_sending=connected)
