"""Drops frames while the board is throttled."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from edge_daemon.core.types import Frame

FACTOR: Final = 2.0  # by which the time between two processed frames grows
TOLERANCE: Final = 0.125  # share of that time, because frames do not arrive to the millisecond
HOLD_S: Final = 30.0  # throttling lasts on after the limit ends: full load would bring it back

log = logging.getLogger(__name__)


def throttled_until_s(until_s: float, limits: Sequence[str] | None, now_s: float) -> float:
    """Return when throttling ends, given its previous end `until_s` and the `limits` at `now_s`."""
    return max(until_s, now_s + HOLD_S) if limits else until_s


def min_gap_s(period_s: float, busy_s: float) -> float:
    """Return the time between processed frames that halves their rate.

    `period_s` is the time between two frames of the camera and `busy_s` the time that processing
    one takes; the longer of the two limits the rate without throttling.
    """
    return FACTOR * max(period_s, busy_s)


class Throttle:
    """Halves the rate of processed frames while the board is short of power or too hot.

    Call `update` from the main thread, the other methods from the pipeline's.
    """

    def __init__(self) -> None:
        self._until_s = 0.0
        self._frame: Frame | None = None  # the newest that `due` was asked about
        self._processed: Frame | None = None
        self._period_s = self._busy_s = 0.0
        self.active = False
        self.skipped = 0

    def update(self, limits: Sequence[str] | None, now_s: float) -> None:
        """Record the board's `limits` at `now_s`; logs when throttling starts and ends."""
        self._until_s = throttled_until_s(self._until_s, limits, now_s)
        active = now_s < self._until_s
        if active and not self.active:
            reasons = ", ".join(limits or ())
            log.warning("the board is throttled (%s): half of the frames are dropped", reasons)
        elif self.active and not active:
            log.info("the board is no longer throttled: all frames are processed again")
        self.active = active

    def due(self, frame: Frame) -> bool:
        """Return whether to process `frame`; if not, count it in `skipped`."""
        before, self._frame = self._frame, frame
        if before is not None and frame.id > before.id:
            self._period_s = (frame.captured_s - before.captured_s) / (frame.id - before.id)
        if not self.active or self._processed is None:
            return True
        gap_s = min_gap_s(self._period_s, self._busy_s)
        if frame.captured_s - self._processed.captured_s >= (1 - TOLERANCE) * gap_s:
            return True
        self.skipped += 1
        return False

    def processed(self, frame: Frame, took_s: float) -> None:
        """Record that processing `frame` took `took_s` seconds."""
        self._processed, self._busy_s = frame, took_s
