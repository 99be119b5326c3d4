"""Back-off: the waits between attempts at something that is away."""

from __future__ import annotations

import random


class BackOff:
    """Waits that double from `first_s` up to `last_s`.

    Each is varied by a quarter either way, so that many devices which lost the same thing do not
    all come back in the same moment.
    """

    def __init__(self, *, first_s: float, last_s: float) -> None:
        self._first_s, self._last_s = first_s, last_s
        self._next_s = first_s

    def next_s(self) -> float:
        """The seconds to wait before the next attempt."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self._last_s)
        return wait_s * random.uniform(0.75, 1.25)  # noqa: S311 (no secret)

    def reset(self) -> None:
        """Begin anew with the shortest wait."""
        self._next_s = self._first_s
