"""Keeps totals in SQLite, by minute, quarter of an hour and hour, with the position in the log.

Quarters serve time zones whose hours do not begin with those of UTC. The position and the totals
up to it are written in one transaction, so that they stay exact after `kill -9`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from edge_daemon.events.log_reader import Entry
from edge_daemon.history.aggregate import AggregateState, aggregate
from edge_daemon.history.totals import Totals

VERSION: Final = 3
MINUTE, QUARTER, HOUR = 1, 15, 60  # in minutes
# The number of rows kept: 30 days of minutes, two years of quarters and hours.
KEPT: Final = {MINUTE: 30 * 24 * 60, QUARTER: 2 * 366 * 24 * 4, HOUR: 2 * 366 * 24}

MAX_LABELS: Final = 200  # each has a column; later ones are counted as OTHERS
OTHERS: Final = "other labels"

_COUNTED: Final = tuple(each.name for each in fields(Totals) if each.name != "expressions")
_counted_values: Final = attrgetter(*_COUNTED)
_TABLES: Final = (
    f"""CREATE TABLE IF NOT EXISTS totals (
        size INTEGER, start INTEGER, {", ".join(f"{name} INTEGER" for name in _COUNTED)},
        PRIMARY KEY (size, start)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS labels (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    "CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
)


class HistoryStore:
    """The totals in the database at `path`, created if it is missing. Raises sqlite3.Error.

    Each method opens its own connection, so any thread or process may use the database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(0o640)
        with self._connection() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"it has version {version}, and this Mien {VERSION}")
            _make_tables(connection)
            connection.execute(f"PRAGMA user_version = {VERSION}")

    @property
    def position(self) -> str:
        """The id of the last event that is counted."""
        with self.snapshot() as snapshot:
            return snapshot.position

    @contextmanager
    def snapshot(self) -> Iterator[HistorySnapshot]:
        """Read the totals as they are now, whatever is counted meanwhile."""
        with self._connection() as connection:
            connection.execute("BEGIN")
            yield HistorySnapshot(connection)

    def add(self, entries: Sequence[Entry], *, after: str) -> bool:
        """Count `entries`, which follow the event `after`; False if that is not the last counted.

        Another process may have counted them meanwhile, or cleared the totals.
        """
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            if _load(connection, "position", "") != after:
                return False
            minutes, state = aggregate((entry.event for entry in entries), _state(connection))
            _add(connection, minutes, KEPT)
            _save(connection, "state", state.as_dict())
            _save(connection, "position", entries[-1].id)
        return True

    def add_minutes(self, minutes: dict[int, Totals], sizes: Iterable[int] = tuple(KEPT)) -> None:
        """Add totals that were counted elsewhere, to the rows of `sizes`."""
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            _add(connection, minutes, sizes)

    def clear(self) -> None:
        """Delete all totals; counting then starts with the log's first event."""
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for table in ("totals", "labels", "state"):
                connection.execute(f"DROP TABLE {table}")
            _make_tables(connection)

    def prune(self) -> None:
        """Delete the oldest rows beyond KEPT.

        The number of rows decides, not their dates, so that a clock that jumps deletes nothing.
        """
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for size, kept in KEPT.items():
                oldest = connection.execute(
                    "SELECT start FROM totals WHERE size = ? ORDER BY start DESC LIMIT 1 OFFSET ?",
                    (size, kept - 1),
                ).fetchone()
                if oldest:
                    connection.execute(
                        "DELETE FROM totals WHERE size = ? AND start < ?", (size, *oldest)
                    )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection


class HistorySnapshot:
    """The totals at one moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def position(self) -> str:
        """The id of the last event that is counted."""
        return str(_load(self._connection, "position", ""))

    def state(self) -> AggregateState:
        """Return what the next events' totals depend on."""
        return _state(self._connection)

    def totals(
        self, size: int, start: int, end: int, *, offset: int, step: int
    ) -> tuple[list[str], list[tuple[int, ...]]]:
        """Sum the rows of `size` from minute `start` to before `end` in steps of `step` minutes.

        `offset` is the offset of local time from UTC, in minutes; each step must begin with a row.
        Returns the labels and the rows. A row has the number of the step in local time, the values
        of `Totals` in their order, and the ms of each label (0 or None if there are none).
        """
        ids = _labels(self._connection)
        columns = [*_COUNTED, *(f"label_{number}" for number in ids.values())]
        if step == size:
            sums, group = columns, ""
        else:
            sums, group = [f"sum({name})" for name in columns], "GROUP BY 1"
            sums[columns.index("carried")] = (
                "sum(CASE WHEN (start + ?1) % ?2 = 0 THEN carried ELSE 0 END)"
            )
            sums[columns.index("longest_ms")] = "max(longest_ms)"
        query = f"""
            SELECT (start + ?1) / ?2, {", ".join(sums)}
            FROM totals WHERE size = ?3 AND start >= ?4 AND start < ?5 {group} ORDER BY 1
        """  # noqa: S608 - our own names
        return list(ids), self._connection.execute(
            query, (offset, step, size, start, end)
        ).fetchall()


def set_aside(path: Path) -> Path:
    """Rename a database that cannot be used; return its new name. Raises OSError."""
    target = path.with_name(f"{path.name}.old")
    path.replace(target)
    for suffix in ("-wal", "-shm"):  # without them it misses what was written last
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{suffix}").replace(f"{target}{suffix}")
    return target


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)


def _labels(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of each label's column, by the label."""
    return dict(connection.execute("SELECT name, id FROM labels ORDER BY id"))


def _add(connection: sqlite3.Connection, minutes: dict[int, Totals], sizes: Iterable[int]) -> None:
    numbers = _columns(
        connection, {each for minute in minutes.values() for each in minute.expressions}
    )
    names = [f"label_{number}" for number in sorted(set(numbers.values()))]
    columns = ["size", "start", *_COUNTED, *names]
    sums = [f"{name} = {name} + excluded.{name}" for name in _COUNTED if name != "longest_ms"]
    sums += ["longest_ms = max(longest_ms, excluded.longest_ms)"]
    sums += [
        f"{name} = coalesce({name} + excluded.{name}, {name}, excluded.{name})" for name in names
    ]
    statement = f"""
        INSERT INTO totals ({", ".join(columns)}) VALUES ({", ".join("?" * len(columns))})
        ON CONFLICT DO UPDATE SET {", ".join(sums)}
    """  # noqa: S608 - our own names
    for size in sizes:
        rows = [_row(size, at, each, numbers) for at, each in _by_size(minutes, size).items()]
        connection.executemany(statement, rows)


def _columns(connection: sqlite3.Connection, labels: set[str]) -> dict[str, int]:
    """Return the number of each label's column, with new columns for new labels."""
    known = _labels(connection)
    for label in sorted(labels - known.keys()):
        name = label if len(known) < MAX_LABELS else OTHERS
        if name not in known:
            made = connection.execute("INSERT INTO labels (name) VALUES (?)", (name,))
            known[name] = made.lastrowid or 0
            connection.execute(f"ALTER TABLE totals ADD COLUMN label_{known[name]} INTEGER")
    return {label: known.get(label) or known[OTHERS] for label in labels}


def _by_size(minutes: dict[int, Totals], size: int) -> dict[int, Totals]:
    """Add up the minutes of each row of `size`, by the minute that it begins with."""
    if size == MINUTE:
        return minutes
    found: dict[int, Totals] = {}
    for number, minute in minutes.items():
        start = number // size * size
        found.setdefault(start, Totals()).add(minute, is_continued=number > start)
    return found


def _row(size: int, start: int, minute: Totals, numbers: dict[str, int]) -> list[int | None]:
    sums: dict[int, int] = {}
    for label, ms in minute.expressions.items():
        sums[numbers[label]] = sums.get(numbers[label], 0) + ms
    labels = (sums.get(column) for column in sorted(set(numbers.values())))
    return [size, start, *_counted_values(minute), *labels]


def _state(connection: sqlite3.Connection) -> AggregateState:
    values = _load(connection, "state", None)
    return AggregateState.from_dict(values) if values else AggregateState()


def _load(connection: sqlite3.Connection, key: str, default: Any) -> Any:
    found = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return json.loads(found[0]) if found else default


def _save(connection: sqlite3.Connection, key: str, value: Any) -> None:
    connection.execute("REPLACE INTO state VALUES (?, ?)", (key, json.dumps(value)))
