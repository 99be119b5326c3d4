"""Reads logs that are larger than memory with DuckDB, which also writes Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from edge_daemon.core.errors import reason_of
from edge_daemon.report.archive import (
    ORDER,
    YEARS,
    ArchiveUnreadable,
    Run,
    RunEvent,
    device_of,
    unreadable,
)

MEMORY: Final = "400MB"  # for DuckDB's buffers; the rest is written to the folder
THREADS: Final = 2  # each thread has its own buffers
ROWS: Final = 20_000  # fetched at once
MAX_LINE_BYTES: Final = 16_000_000

_COLUMNS: Final = {
    "id": "VARCHAR", "time": "VARCHAR", "type": "VARCHAR", "camera": "VARCHAR", "run": "VARCHAR",
    "face": "BIGINT", "label": "VARCHAR", "duration_s": "DOUBLE", "jump_s": "DOUBLE",
    "topic": "VARCHAR", "payload": "JSON",
}  # fmt: skip
_TABLE: Final = """
CREATE TABLE events (source VARCHAR, camera VARCHAR, run VARCHAR, id VARCHAR, time VARCHAR,
    type VARCHAR, face BIGINT, label VARCHAR, duration_s DOUBLE, jump_s DOUBLE)
"""
# A broker's message has the event in its payload, as an object or as text.
_READ: Final = """
INSERT INTO events SELECT coalesce(topic, $folder),
    coalesce(camera, p->>'camera'), coalesce(run, p->>'run'),
    coalesce(id, p->>'id', time, p->>'time'), coalesce(time, p->>'time'),
    coalesce(type, p->>'type'), coalesce(face, TRY_CAST(p->>'face' AS BIGINT)),
    coalesce(label, p->>'label'), coalesce(duration_s, TRY_CAST(p->>'duration_s' AS DOUBLE)),
    coalesce(jump_s, TRY_CAST(p->>'jump_s' AS DOUBLE))
FROM (SELECT *, CASE json_type(payload) WHEN 'VARCHAR' THEN TRY_CAST(payload->>'$' AS JSON)
        ELSE payload END AS p
    FROM read_json($path, format = 'newline_delimited', columns = $columns, ignore_errors = true,
        compression = $compression, maximum_object_size = $max_line))
"""
_IS_EVENT: Final = f"""(camera || run || type || time) IS NOT NULL
    AND year(TRY_CAST(time AS TIMESTAMP)) BETWEEN {YEARS[0]} AND {YEARS[1] - 1}"""
_RUNS: Final = f"""
SELECT camera, run, min(source), min(time), max(time)
FROM events WHERE {_IS_EVENT} GROUP BY camera, run
"""  # noqa: S608 - our own words
_EVENTS: Final = f"""
SELECT camera, run, id, time, type, face, label, duration_s, jump_s FROM events
WHERE {_IS_EVENT}
ORDER BY camera, run, id, coalesce(list_position({list(ORDER)}, type), {len(ORDER) + 1})
"""  # noqa: S608


class DuckArchive:
    """Reads logs of any size into a database in `folder`, with bounded memory.

    Raises ArchiveUnreadable for a file that is damaged.
    """

    def __init__(self, paths: Sequence[Path], *, folder: Path) -> None:
        self._connection = duckdb.connect(
            str(folder / "events.duckdb"),
            config={
                "memory_limit": MEMORY,
                "threads": THREADS,
                "temp_directory": str(folder),
                "preserve_insertion_order": False,
            },
        )
        self._connection.execute(_TABLE)
        for path in paths:
            try:
                self._connection.execute(_READ, _parameters(path))
            except (duckdb.Error, OSError) as error:
                if str(folder) in str(error) or "No space" in str(error):
                    raise _no_room(error) from error
                raise unreadable(path, error) from error
        self.skipped = self._number(f"SELECT count(*) FROM events WHERE ({_IS_EVENT}) IS NOT TRUE")  # noqa: S608

    def runs(self) -> list[Run]:
        rows = self._connection.execute(_RUNS).fetchall()
        return [
            Run(camera, run, device_of(source, Path()), first, last)
            for camera, run, source, first, last in rows
        ]

    def events(self) -> Iterator[RunEvent]:
        try:
            found = self._connection.execute(_EVENTS)
            while rows := found.fetchmany(ROWS):
                for row in rows:
                    yield RunEvent(*row)
        except duckdb.Error as error:
            raise _no_room(error) from error

    def _number(self, query: str) -> int:
        (number,) = self._connection.execute(query).fetchone() or (0,)
        return int(number)


def _no_room(error: Exception) -> ArchiveUnreadable:
    return ArchiveUnreadable(
        f"the events cannot be sorted: {reason_of(error).rstrip('.')}; "
        "fix: set TMPDIR to a folder with more room."
    )


def _parameters(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    return {
        "path": str(path),
        "folder": str(path.parent),
        "columns": _COLUMNS,
        "compression": "gzip" if is_packed else "none",
        "max_line": MAX_LINE_BYTES,
    }


def write_parquet(table: Path, target: Path) -> None:
    """Write a CSV file as Parquet."""
    duckdb.connect().execute(
        "COPY (SELECT * FROM read_csv($table, header = true)) TO $target (FORMAT parquet)",
        {"table": str(table), "target": str(target)},
    )
