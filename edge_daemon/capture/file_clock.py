"""Gives each frame of a video file a time that grows, whatever the file says."""

from __future__ import annotations

from typing import Final

_JUMP_BACK_S: Final = 1.0  # time that goes back by more starts anew, as where files were joined
_LEAST_STEP_S: Final = 0.001


class FileClock:
    """Counts seconds from the file's beginning, which has the stamp `start_s`.

    A frame of unknown duration lasts `interval_s`. `last_s` is the time of the last frame.
    """

    def __init__(self, *, start_s: float, interval_s: float) -> None:
        self._start_s, self._interval_s = start_s, interval_s
        self._next_s = 0.0
        self.last_s = -interval_s

    def time_s(self, stamp_s: float | None, duration_s: float) -> float:
        """Return the time of the next frame; without a stamp, it follows the last frame.

        A `duration_s` of 0 is unknown.
        """
        time_s = self._next_s if stamp_s is None else stamp_s - self._start_s
        if time_s < self.last_s - _JUMP_BACK_S and stamp_s is not None:
            time_s = self._next_s
            self._start_s = stamp_s - time_s
        elif time_s <= self.last_s:
            time_s = self.last_s + _LEAST_STEP_S
        self.last_s = max(time_s, 0.0)
        self._next_s = self.last_s + (duration_s or self._interval_s)
        return self.last_s
