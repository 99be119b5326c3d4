"""Growing waits between attempts to reach something that is not available."""

from __future__ import annotations

import random


class BackOff:
    """Waits that double from `first_s` up to `last_s`.

    Each wait is varied at random by up to a quarter, so that many devices that lost the same server
    do not all come back at the same moment.
    """

    def __init__(self, *, first_s: float, last_s: float) -> None:
        self._first_s, self._last_s = first_s, last_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the seconds to wait before the next attempt."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self._last_s)
        return wait_s * random.uniform(0.75, 1.25)  # noqa: S311 (no secret)

    def reset(self) -> None:
        """Start again with the shortest wait."""
        self._next_s = self._first_s
