"""Notices when the system's clock is set."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from edge_daemon.events.events import Event

LEAST_JUMP_S: Final = 2.0
CLOSE_S: Final = 0.1  # the longest time between two readings that belong together
TRIES: Final = 10  # to read both clocks at once, on a busy machine
QUIET_S: Final = 86_400.0  # without an event, until there is a sign of life
LATEST_S: Final = 10.0  # the longest time from a frame to its event

log = logging.getLogger(__name__)


class ClockWatch:
    """Compares the system's clock with the monotonic one, which nobody sets.

    `make` makes an event of a type, time and fields. The monotonic clock stands still while the
    computer is suspended, so a suspension is a jump too.
    """

    def __init__(self, make: Callable[..., Event]) -> None:
        self._make = make
        self._offset_s = _offset_s()
        self._jump, self._jumped_s = timedelta(), 0.0

    def jump(self) -> Event | None:
        """Return the event of a jump since the last call; None if there was none.

        Slow corrections, as an NTP client makes them, do not add up to a jump.
        """
        offset_s = _offset_s()
        if self._offset_s is None or offset_s is None:
            self._offset_s = self._offset_s or offset_s
            return None
        jump_s, self._offset_s = round(offset_s - self._offset_s, 3), offset_s
        if abs(jump_s) < LEAST_JUMP_S:
            return None
        log.info("the clock has jumped by %+.0f s", jump_s)
        self._jump, self._jumped_s = timedelta(seconds=jump_s), time.monotonic()
        return self._make("clock_jump", datetime.now(UTC), jump_s=jump_s)

    def alive(self, quiet_s: float) -> Event | None:
        """Return a sign of life after a day without an event; None if it was shorter.

        From a longer time without events, nobody could tell whether the daemon was running.
        """
        return self._make("daemon_alive", datetime.now(UTC)) if quiet_s >= QUIET_S else None

    def corrected(self, event: Event) -> Event:
        """Return `event`, with the new time if its frame was captured before the last jump."""
        if not self._jump or time.monotonic() - self._jumped_s > LATEST_S:
            return event
        moved, now = event.at + self._jump, datetime.now(UTC)
        is_old = abs(now - moved) < min(abs(now - event.at), timedelta(seconds=LATEST_S))
        return replace(event, at=moved) if is_old else event


def _offset_s() -> float | None:
    """Return the system's clock minus the monotonic one; None if the thread was held up."""
    for _ in range(TRIES):
        before_s = time.monotonic()
        offset_s = time.time() - before_s
        if time.monotonic() - before_s < CLOSE_S:
            return offset_s
    return None
