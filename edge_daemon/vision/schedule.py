"""How often to look for faces: a frame in, whether this one is searched out."""

from __future__ import annotations

import math
import statistics
from collections import deque

from edge_daemon.core.types import Frame

SEARCHES_HZ = 15.0  # more find no more (docs/adr/0016-fifteen-searches-a-second.md)
LOAD = 0.5  # of the frame period that a look may take; drawing, encoding and viewers need the rest
RECENT = 15  # looks and frames whose median is what the board does at present


def interval_for(look_s: float, period_s: float) -> int:
    """Every how many frames to look: about SEARCHES_HZ times a second, less often if it takes LOAD.

    `look_s` is what one look takes, `period_s` the time from one frame of the camera to the next.
    """
    if period_s <= 0:
        return 1
    enough, affordable = round(1 / (SEARCHES_HZ * period_s)), math.ceil(look_s / (LOAD * period_s))
    return max(enough, affordable, 1)


class Pace:
    """Chooses the frames that are searched for faces.

    Every `interval`th frame of the camera, counting those nobody had time for; None adapts to
    camera and board by `interval_for`. After `max_gap_s` without a look the next frame is
    searched whatever the interval, for the tracker can bridge no more.
    """

    def __init__(self, *, interval: int | None, max_gap_s: float) -> None:
        self.chosen = interval
        self._max_gap_s = max_gap_s
        self._looks_s: deque[float] = deque(maxlen=RECENT)
        self._periods_s: deque[float] = deque(maxlen=RECENT)
        self._frame: Frame | None = None
        self._looked: Frame | None = None

    @property
    def interval(self) -> int:
        """Every how many frames faces are looked for at present."""
        if self.chosen is not None:
            return self.chosen
        if not self._looks_s or not self._periods_s:
            return 1
        return interval_for(statistics.median(self._looks_s), statistics.median(self._periods_s))

    def due(self, frame: Frame) -> bool:
        """Whether to search `frame`; to be asked once for each frame, in their order."""
        before, self._frame = self._frame, frame
        if before is not None and frame.id > before.id:
            elapsed_s = frame.captured_s - before.captured_s
            self._periods_s.append(elapsed_s / (frame.id - before.id))
        last = self._looked
        return (
            last is None
            or frame.id - last.id >= self.interval
            or frame.captured_s - last.captured_s >= self._max_gap_s
        )

    def looked(self, frame: Frame, took_s: float) -> None:
        """Take note that `frame` was searched, in `took_s` seconds."""
        self._looked = frame
        self._looks_s.append(took_s)
