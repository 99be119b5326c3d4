"""Decides which frames are searched for faces."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable

from edge_daemon.core.types import Frame

SEARCHES_HZ = 15.0  # more searches find no more (docs/adr/0016-fifteen-searches-a-second.md)
LOAD = 0.5  # share of the frame period that a search may take; drawing and encoding need the rest
SPARSE_S = 0.5  # searches at least this far apart leave time for thorough ones
TOLERANCE = 0.1  # share of the idle gap, because frames do not arrive to the millisecond
TURN_TOLERANCE = 0.3  # share of the time between turns, so that all of 20 frames a second are turns
RECENT = 15  # searches and frames over which medians are taken


def search_interval(search_s: float, period_s: float) -> int:
    """Return n so that searching every nth frame gives about SEARCHES_HZ searches a second.

    n is larger where that many would take more than LOAD of the time. `search_s` is the duration
    of one search, `period_s` the time between two frames of the camera.
    """
    if period_s <= 0:
        return 1
    enough = round(1 / (SEARCHES_HZ * period_s))
    affordable = math.ceil(search_s / (LOAD * period_s))
    return max(enough, affordable, 1)


class SearchSchedule:
    """Chooses one frame in `interval` of the camera's, counting frames that were dropped.

    An `interval` of None adapts to camera and board by `search_interval`. If the last search is
    `max_gap_s` ago, the next frame is searched in any case, because the tracker cannot bridge a
    longer gap. While there is no face and nothing moves, an adaptive interval makes at most
    `idle_hz` searches a second.
    """

    def __init__(
        self, *, interval: int | None, max_gap_s: float, idle_hz: float = math.inf
    ) -> None:
        self.chosen = interval
        self._idle_gap_s = (1 - TOLERANCE) / idle_hz
        self._max_gap_s = max_gap_s
        self._searches_s: deque[float] = deque(maxlen=RECENT)
        self._periods_s: deque[float] = deque(maxlen=RECENT)
        self._frame: Frame | None = None
        self._searched: Frame | None = None
        self._turned_s = -math.inf
        self._interval: int | None = None  # computed from the times of searches and frames
        self.searches = self.turns = 0

    def adopt(self, old: SearchSchedule) -> None:
        """Continue the counts of `old`."""
        self._periods_s, self._interval = old._periods_s, None
        self._frame, self._searched, self.searches = old._frame, old._searched, old.searches
        self.turns, self._turned_s = old.turns, old._turned_s

    @property
    def sparse(self) -> bool:
        """Whether searches are so far apart that each should be thorough."""
        if not self._periods_s:
            return False
        return self.interval * statistics.median(self._periods_s) >= SPARSE_S

    @property
    def interval(self) -> int:
        """The interval in use, in frames."""
        if self.chosen is not None:
            return self.chosen
        if self._interval is None:
            self._interval = (
                search_interval(
                    statistics.median(self._searches_s), statistics.median(self._periods_s)
                )
                if self._searches_s and self._periods_s
                else 1
            )
        return self._interval

    def due(self, frame: Frame, is_idle: Callable[[], bool] = lambda: False) -> bool:
        """Return whether to search `frame`; call it once for each frame, in order.

        `is_idle` returns whether no face is known and nothing has moved. It is called only if the
        answer depends on it.
        """
        before, self._frame = self._frame, frame
        if before is not None and frame.id > before.id:
            elapsed_s = frame.captured_s - before.captured_s
            if len(self._periods_s) < RECENT:
                self._interval = None  # later once in each search
            self._periods_s.append(elapsed_s / (frame.id - before.id))
        last = self._searched
        if last is None:
            return True
        gap_s = frame.captured_s - last.captured_s
        if frame.id - last.id < self.interval and gap_s < self._max_gap_s:
            return False
        return self.chosen is not None or gap_s >= self._idle_gap_s or not is_idle()

    def is_turn(self, frame: Frame) -> bool:
        """Return whether a search of `frame` is one of about SEARCHES_HZ that look for new faces.

        If frames are searched more often, the other searches only follow known faces.
        """
        return frame.captured_s - self._turned_s >= (1 - TURN_TOLERANCE) / SEARCHES_HZ

    def searched(self, frame: Frame, took_s: float) -> None:
        """Record that searching `frame` took `took_s` seconds."""
        if self.is_turn(frame):
            self.turns += 1
            self._turned_s = frame.captured_s
        self._searched = frame
        self.searches += 1
        self._searches_s.append(took_s)
        self._interval = None
