"""Hides periods with few faces, and those from which a hidden one could be calculated.

A single hidden hour could be calculated as the day minus its other hours. Of the parts of a shown
period, therefore either no part is hidden, or so many that all hidden parts together have enough
faces (complementary suppression; A. Hundepool and others, Statistical Disclosure Control, 2012,
chapter 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_daemon.history.periods import Period


def hide_few(periods: Sequence[Period], least: int) -> None:
    """Hide those of `periods` with fewer than `least` faces."""
    for period in periods:
        period.is_hidden = 0 < _people(period) < least


def hide_parts(whole: Period, parts: Sequence[Period], least: int) -> None:
    """Hide `parts` with fewer than `least` faces, and those from which they could be calculated.

    `whole` consists of `parts`. If it is hidden, all parts with faces are hidden.
    """
    hide_few(parts, least)
    occupied = [part for part in parts if _people(part)]
    if whole.is_hidden:
        for part in occupied:
            part.is_hidden = True
        return
    hidden = [part for part in occupied if part.is_hidden]
    shown = sorted((part for part in occupied if not part.is_hidden), key=_people, reverse=True)
    while hidden and shown and _least_people(hidden) < least:
        shown[-1].is_hidden = True
        hidden.append(shown.pop())


def add_shown(total: Period, part: Period, *, is_continued: bool = False) -> None:
    """Add `part` to `total`; of a hidden part, add only the recorded time.

    The difference to a sum with one more part then reveals nothing. `total` is hidden as long as
    all of its parts with faces are. `is_continued` is as in `Totals.add`.
    """
    if part.is_hidden:
        total.recorded_ms += part.recorded_ms
        total.is_hidden = total.is_hidden or not total.faces
    else:
        total.add(part, is_continued=is_continued)
        total.is_hidden = total.is_hidden and not total.faces


def _people(period: Period) -> int:
    """Return how many faces a period reveals; some may only be among its departures."""
    return max(period.faces, period.departures)


def _least_people(periods: Sequence[Period]) -> int:
    """Return how many different faces there were at least in `periods`: one may be in several."""
    arrivals = sum(period.arrivals for period in periods)
    return max(arrivals, *(_people(period) for period in periods))
