"""Waits for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE_S = 40.0
POLL_S = 0.02

Result = TypeVar("Result")


def until(
    met: Callable[[], Result], *, timeout_s: float = DEADLINE_S, describe: Callable[[], str] = str
) -> Result:
    """Call `met` until it returns a true value, and return that value.

    Raises AssertionError with what `describe` returns after `timeout_s`.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (result := met()):
        assert time.monotonic() < deadline_s, f"not met within {timeout_s:g} s {describe()}"
        time.sleep(POLL_S)
    return result
