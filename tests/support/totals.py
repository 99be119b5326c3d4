"""Compares totals with those that made-up days must give."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from benchmarks.made_up_days import KnownTotals
from edge_daemon.history.totals import Totals

BERLIN = ZoneInfo("Europe/Berlin")


def summed(parts: Iterable[Totals]) -> Totals:
    """Return the sum of minutes or periods that follow each other."""
    total = Totals()
    for part in parts:
        total.add(part)
    return total


def assert_equal(found: Totals, expected: KnownTotals) -> None:
    """Check all that is known of the days."""
    assert found.recorded_ms == expected.recorded_ms
    assert found.face_ms == expected.face_ms
    assert found.arrivals == expected.arrivals
    assert found.expressions == expected.expressions
    assert found.stay_ms == sum(expected.stays_ms)
