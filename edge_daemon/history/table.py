"""Periods as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from edge_daemon.history.periods import Period


def labels_of(periods: Iterable[Period]) -> list[str]:
    """Return the labels that faces had in the shown ones of `periods`, sorted."""
    shown = (period for period in periods if not period.is_hidden)
    return sorted({label for period in shown for label in period.expressions})


def rows_of(periods: Iterable[Period], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return each period's values by column, with a column of seconds for each of `labels`."""
    rows = []
    for period in periods:
        row = period.as_dict()
        expressions = row.pop("expressions") or {}
        rows.append(row | {f"{label}_s": expressions.get(label) for label in labels})
    return rows
