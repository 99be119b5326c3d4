"""Decides when the frames of a source are due, and the time that they are stamped with."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

_LATEST_S: Final = 1.0  # a file that falls further behind does not catch up
_LONGEST_PAUSE_S: Final = 60.0  # between two frames of a file, whatever their times


class Pace:
    """Decides when frames are due, and the time that they are stamped with.

    Frames of a live camera (`fps` is None) are due at once. Those of a file follow its own times,
    or `fps` where it has none. Frames of a lossless file are due at once too, but get the time at
    which they would have been due.
    """

    def __init__(self, fps: float | None, lossless: bool) -> None:
        self.is_virtual = lossless and fps is not None
        self._is_live = fps is None
        self._interval_s = 1 / fps if fps else 0.0
        self._time_s = -self._interval_s  # of the last frame, in the file
        self._started_at, self._started_s = datetime.now(UTC), time.monotonic()
        self._due_s = self._started_s - self._interval_s

    def wait_s(self, time_s: float | None) -> float:
        """Return the seconds until the next frame, with the file's time `time_s`, is due."""
        if self._is_live:
            return 0.0
        if time_s is None:
            time_s = self._time_s + self._interval_s
        self._due_s += min(max(time_s - self._time_s, 0.0), _LONGEST_PAUSE_S)
        self._time_s = time_s
        if self.is_virtual:
            return 0.0
        late_s = time.monotonic() - self._due_s
        if late_s > _LATEST_S:
            self._due_s += late_s
        return max(-late_s, 0.0)

    @property
    def now_s(self) -> float:
        return self._due_s if self.is_virtual else time.monotonic()

    @property
    def now_at(self) -> datetime:
        """UTC, read from the system's clock each time because that may be set at any moment."""
        if self.is_virtual:
            return self._started_at + timedelta(seconds=self._due_s - self._started_s)
        return datetime.now(UTC)
