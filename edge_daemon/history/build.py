"""Builds the history from the configuration, and counts the whole log again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError
from edge_daemon.events.build import build_log_reader, log_file
from edge_daemon.events.log_reader import Entry
from edge_daemon.history.report import HistoryReport
from edge_daemon.history.store import HistoryStore, set_aside
from edge_daemon.history.zone import zone_named

BATCH: Final = 10_000


class HistoryUnavailable(UserError):
    """There is no history; the message says why."""


def database_path(config: Config) -> Path | None:
    """Return the database beside the log; None if the history is off, or the log is a stream."""
    path = log_file(config)
    return path.with_suffix(".history") if path and config.history.enabled else None


def history_report(
    config: Config, store: HistoryStore, newer: Callable[[str], Sequence[Entry] | None]
) -> HistoryReport:
    """Build the report on the totals in `store` and the events that `newer` returns."""
    history = config.history
    return HistoryReport(
        store, zone=zone_named(history.time_zone), least_faces=history.least_faces, newer=newer
    )


def rebuild(config: Config) -> int:
    """Count the whole log again, also while the daemon runs; return the number of events.

    Raises HistoryUnavailable, OSError and sqlite3.Error.
    """
    path = database_path(config)
    if path is None:
        raise HistoryUnavailable(
            "There is no history: history.enabled is off, or events.path is not a file."
        )
    try:
        store, count = HistoryStore(path), 0
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:  # damaged, or of another version
        set_aside(path)
        store, count = HistoryStore(path), 0
    store.clear()
    entries, last = build_log_reader(config).after(""), ""
    while batch := list(islice(entries, BATCH)):
        if not store.add(batch, after=last):  # the daemon has counted events meanwhile
            entries, last = build_log_reader(config).after(store.position), store.position
            continue
        count, last = count + len(batch), batch[-1].id
    return count
