"""Keeps totals in SQLite, by minute, quarter of an hour and hour, with the position in the log.

Quarters are for time zones whose hours do not begin with those of UTC. The position and the totals
up to it are written in one transaction: after `kill -9` they are as exact as before.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from edge_daemon.events.history import Entry
from edge_daemon.history.aggregate import AggregateState, Minute, aggregate

VERSION: Final = 2
MINUTE, QUARTER, HOUR = 1, 15, 60  # in minutes
# Rows: 30 days of minutes, and two years.
KEPT: Final = {MINUTE: 30 * 24 * 60, QUARTER: 2 * 366 * 24 * 4, HOUR: 2 * 366 * 24}

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS totals (
    size INTEGER, start INTEGER, recorded_ms INTEGER, face_ms INTEGER, carried INTEGER,
    arrivals INTEGER, departures INTEGER, stay_ms INTEGER, longest_ms INTEGER,
    PRIMARY KEY (size, start)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS expressions (
    size INTEGER, start INTEGER, label INTEGER, ms INTEGER,
    PRIMARY KEY (size, start, label)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
_ADD: Final = """
INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    recorded_ms = recorded_ms + excluded.recorded_ms, face_ms = face_ms + excluded.face_ms,
    carried = carried + excluded.carried, arrivals = arrivals + excluded.arrivals,
    departures = departures + excluded.departures, stay_ms = stay_ms + excluded.stay_ms,
    longest_ms = max(longest_ms, excluded.longest_ms)
"""
_ADD_EXPRESSION: Final = """
INSERT INTO expressions VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET ms = ms + excluded.ms
"""


class HistoryStore:
    """The totals in the database at `path`, made where there is none. Raises sqlite3.Error.

    Every method opens a connection of its own: any thread or process may use it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(0o640)
        with self._connection() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"its version {version} is not {VERSION}")
            connection.executescript(_TABLES)
            connection.execute(f"PRAGMA user_version = {VERSION}")

    @property
    def position(self) -> str:
        """The id of the last event that is counted."""
        with self._connection() as connection:
            return str(_load(connection, "position", ""))

    def state(self) -> AggregateState:
        """What the next events' totals depend on."""
        with self._connection() as connection:
            return _state(connection)

    def add(self, entries: Sequence[Entry], *, after: str) -> bool:
        """Count `entries`, which follow the event `after`; False if that is not the last counted.

        Another process may have counted them meanwhile, or begun anew.
        """
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            if _load(connection, "position", "") != after:
                return False
            minutes, state = aggregate((entry.event for entry in entries), _state(connection))
            _add(connection, minutes)
            _save(connection, "state", state.as_dict())
            _save(connection, "position", entries[-1].id)
        return True

    def add_minutes(self, minutes: dict[int, Minute]) -> None:
        """Add totals that were counted elsewhere."""
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            _add(connection, minutes)

    def clear(self) -> None:
        """Begin anew, before the log's first event."""
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for table in ("totals", "expressions", "labels", "state"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names

    def prune(self) -> None:
        """Delete the oldest rows beyond KEPT.

        Rows count, not dates: a clock that jumps deletes nothing.
        """
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for size, kept in KEPT.items():
                oldest = connection.execute(
                    "SELECT start FROM totals WHERE size = ? ORDER BY start DESC LIMIT 1 OFFSET ?",
                    (size, kept - 1),
                ).fetchone()
                if oldest:
                    for table in ("totals", "expressions"):
                        connection.execute(
                            f"DELETE FROM {table} WHERE size = ? AND start < ?",  # noqa: S608
                            (size, *oldest),
                        )

    def totals(
        self, size: int, start: int, end: int, *, offset: int, step: int
    ) -> list[tuple[int, ...]]:
        """Sum the rows of `size` from minute `start` to before `end` in steps of `step` minutes.

        `offset` is that of local time from UTC, in minutes. Each row has the number of its step in
        local time, then recorded_ms, face_ms, carried (at the beginning of the step), arrivals,
        departures, stay_ms and longest_ms.
        """
        with self._connection() as connection:
            return connection.execute(
                """
                SELECT (start + ?1) / ?2, sum(recorded_ms), sum(face_ms),
                    sum(CASE WHEN (start + ?1) % ?2 = 0 THEN carried ELSE 0 END),
                    sum(arrivals), sum(departures), sum(stay_ms), max(longest_ms)
                FROM totals WHERE size = ?3 AND start >= ?4 AND start < ?5 GROUP BY 1 ORDER BY 1
                """,
                (offset, step, size, start, end),
            ).fetchall()

    def expressions(
        self, size: int, start: int, end: int, *, offset: int, step: int
    ) -> list[tuple[int, str, int]]:
        """Sum the expressions as `totals` does: the step's number, the label and its ms."""
        with self._connection() as connection:
            names = dict(connection.execute("SELECT id, name FROM labels"))
            sums = connection.execute(
                """
                SELECT (start + ?1) / ?2 AS number, label, sum(ms) FROM expressions
                WHERE size = ?3 AND start >= ?4 AND start < ?5 GROUP BY number, label
                """,
                (offset, step, size, start, end),
            )
            return [(number, names[label], ms) for number, label, ms in sums]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection


def _add(connection: sqlite3.Connection, minutes: dict[int, Minute]) -> None:
    labels = {label for minute in minutes.values() for label in minute.expressions}
    connection.executemany(
        "INSERT OR IGNORE INTO labels (name) VALUES (?)", [(label,) for label in sorted(labels)]
    )
    ids = dict(connection.execute("SELECT name, id FROM labels"))
    for size in KEPT:
        rows = [
            (
                size,
                number // size * size,
                minute.recorded_ms,
                minute.face_ms,
                minute.carried if number % size == 0 else 0,
                minute.arrivals,
                minute.departures,
                minute.stay_ms,
                minute.longest_ms,
            )
            for number, minute in minutes.items()
        ]
        connection.executemany(_ADD, rows)
        expressions = [
            (size, number // size * size, ids[label], ms)
            for number, minute in minutes.items()
            for label, ms in minute.expressions.items()
        ]
        connection.executemany(_ADD_EXPRESSION, expressions)


def _state(connection: sqlite3.Connection) -> AggregateState:
    values = _load(connection, "state", None)
    return AggregateState.from_dict(values) if values else AggregateState()


def _load(connection: sqlite3.Connection, key: str, default: Any) -> Any:
    found = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return json.loads(found[0]) if found else default


def _save(connection: sqlite3.Connection, key: str, value: Any) -> None:
    connection.execute("REPLACE INTO state VALUES (?, ?)", (key, json.dumps(value)))
