"""Hides periods with few faces, and those from which a hidden one could be calculated.

An hour with few faces is the day without its other hours. So of the parts of a shown period, either
none is hidden, or so many that enough faces are in all hidden ones together (complementary
suppression; A. Hundepool and others, Statistical Disclosure Control, 2012, chapter 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_daemon.history.periods import Period


def hide_few(periods: Sequence[Period], least: int) -> None:
    """Hide those of `periods` with fewer than `least` faces."""
    for period in periods:
        period.is_hidden = 0 < _people(period) < least


def hide_parts(whole: Period, parts: Sequence[Period], least: int) -> None:
    """Hide those of `parts` with fewer than `least` faces, and what would give them away.

    All that has faces is hidden if `whole` is, which consists of `parts`.
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


def add_shown(total: Period, part: Period) -> None:
    """Add `part` to `total`, but of a hidden one only the recorded time.

    Another sum with one part more gives nothing away then. `total` is hidden as long as all that
    has faces is.
    """
    if part.is_hidden:
        total.recorded_ms += part.recorded_ms
        total.is_hidden = total.is_hidden or not total.faces
    else:
        total.add(part)
        total.is_hidden = total.is_hidden and not total.faces


def _people(period: Period) -> int:
    """How many faces a period tells of; one that leaves as it begins is not among its faces."""
    return max(period.faces, period.departures)


def _least_people(periods: Sequence[Period]) -> int:
    """How many different faces there were at least in `periods`: one may be in several."""
    arrivals = sum(period.arrivals for period in periods)
    return max(arrivals, *(_people(period) for period in periods))
