"""Slow-down: what holds the board back in, which frames to leave out meanwhile out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from edge_daemon.core.types import Frame

FACTOR: Final = 2.0  # how much longer the time between two processed frames becomes
EARLY: Final = 0.125  # of it may be missing: frames do not come to the millisecond
HOLD_S: Final = 30.0  # on after the last limit: work brings it back

log = logging.getLogger(__name__)


def slow_until_s(until_s: float, limits: Sequence[str] | None, now_s: float) -> float:
    """Until when to go slowly, if `limits` hold the board back at `now_s` and it was `until_s`."""
    return max(until_s, now_s + HOLD_S) if limits else until_s


def least_gap_s(period_s: float, busy_s: float) -> float:
    """The time to leave between frames while slow, so that their rate is halved.

    `period_s` is the time from one frame of the camera to the next, `busy_s` what processing one
    takes; the longer of the two sets the rate otherwise.
    """
    return FACTOR * max(period_s, busy_s)


class SlowDown:
    """Halves the rate of processed frames while the board is short of power or too hot.

    `judge` is for the main thread, the others are for the pipeline's.
    """

    def __init__(self) -> None:
        self._until_s = 0.0
        self._frame: Frame | None = None  # the newest asked about
        self._processed: Frame | None = None
        self._period_s = self._busy_s = 0.0
        self.active = False
        self.skipped = 0

    def judge(self, limits: Sequence[str] | None, now_s: float) -> None:
        """Take note of what holds the board back at `now_s`; a change is logged."""
        self._until_s = slow_until_s(self._until_s, limits, now_s)
        active = now_s < self._until_s
        if active and not self.active:
            log.warning("the board is held back (%s): half the frames", ", ".join(limits or ()))
        elif self.active and not active:
            log.info("the board is no longer held back: all frames")
        self.active = active

    def due(self, frame: Frame) -> bool:
        """Whether to process `frame`; one that is not is counted in `skipped`."""
        before, self._frame = self._frame, frame
        if before is not None and frame.id > before.id:
            self._period_s = (frame.captured_s - before.captured_s) / (frame.id - before.id)
        if not self.active or self._processed is None:
            return True
        gap_s = least_gap_s(self._period_s, self._busy_s)
        if frame.captured_s - self._processed.captured_s >= (1 - EARLY) * gap_s:
            return True
        self.skipped += 1
        return False

    def processed(self, frame: Frame, took_s: float) -> None:
        """Take note that `frame` was processed, in `took_s` seconds."""
        self._processed, self._busy_s = frame, took_s
