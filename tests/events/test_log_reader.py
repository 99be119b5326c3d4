"""Tests reading the log: only the files that are needed, in both orders, until it is canceled."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_daemon.core.types import rfc3339
from edge_daemon.events.log_reader import EventIds, EventLogReader, Query

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 20


def day(number: int) -> str:
    return rfc3339(START + timedelta(days=number))


def hours(first: int, last: int) -> bytes:
    """Lines of one event an hour."""
    ids = EventIds()
    lines = []
    for hour in range(first, last):
        time = rfc3339(START + timedelta(hours=hour))
        lines.append(json.dumps({"schema": 1, "id": ids.next(time), "time": time, "n": hour}))
    return "".join(line.replace(": ", ":").replace(", ", ",") + "\n" for line in lines).encode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a file a day, the last one still growing."""
    for number in range(DAYS - 1):
        content = gzip.compress(hours(24 * number, 24 * number + 24))
        (tmp_path / f"events.{number + 1:06}.jsonl.gz").write_bytes(content)
    path = tmp_path / "events.jsonl"
    path.write_bytes(hours(24 * (DAYS - 1), 24 * DAYS))
    return path


def numbers(reader: EventLogReader, query: Query, newest_first: bool = False) -> list[int]:
    return [entry.event["n"] for entry in reader.find(query, 999, newest_first=newest_first)]


def make_unreadable(log: Path, days: range) -> None:
    """Replace files by FIFOs: a reader that opens one waits forever."""
    for number in days:
        file = log.with_name(f"events.{number + 1:06}.jsonl.gz")
        file.unlink()
        os.mkfifo(file)


def test_files_before_since_are_not_opened(log: Path) -> None:
    make_unreadable(log, range(10))
    reader = EventLogReader(log)
    assert numbers(reader, Query(since=day(11))) == list(range(11 * 24, DAYS * 24))
    assert numbers(reader, Query(after=f"{day(11)}/0")) == list(range(11 * 24 + 1, DAYS * 24))
    assert [entry.event["n"] for entry in reader.after(f"{day(19)}/0")] == list(range(457, 480))


def test_of_files_after_until_only_the_first_line_is_read(log: Path) -> None:
    for number in range(5, DAYS - 1):  # damaged after its first line
        file = log.with_name(f"events.{number + 1:06}.jsonl.gz")
        first = gzip.compress(hours(24 * number, 24 * number + 1))
        file.write_bytes(first + b"\0" * 100)
    assert numbers(EventLogReader(log), Query(until=day(3))) == list(range(72))
    two_days = Query(since=day(1), until=day(3))
    assert numbers(EventLogReader(log), two_days) == list(range(24, 72))
    assert numbers(EventLogReader(log), two_days, newest_first=True) == list(range(71, 23, -1))


def test_the_newest_events_need_the_newest_file_alone(log: Path) -> None:
    make_unreadable(log, range(DAYS - 1))
    newest = EventLogReader(log).find(Query(), 10, newest_first=True)
    assert [entry.event["n"] for entry in newest] == list(range(479, 469, -1))


def test_a_canceled_query_ends(log: Path) -> None:
    calls = 0

    def is_canceled() -> bool:
        nonlocal calls
        calls += 1
        return calls > 3

    found = EventLogReader(log).find(Query(), 9999, is_canceled=is_canceled)
    assert 0 < len(found) < 100


def test_lines_that_are_not_events_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    good = hours(0, 2).splitlines(keepends=True)
    deep = b'{"time":"2026-01-01T00:30:00.000Z","deep":' + b"[" * 100_000 + b"\n"
    odd = [b"\n", b"[]\n", b'{"time":1}\n', b'["time":"2026"]\n', b"\xff\xfe\0\n", deep]
    path.write_bytes(good[0] + b"".join(odd) + good[1])
    assert numbers(EventLogReader(path), Query()) == [0, 1]


def test_a_log_without_events_has_no_last_id(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert EventLogReader(path).last_id() == ""
    path.write_bytes(b"")
    assert EventLogReader(path).last_id() == ""
    (tmp_path / "events.000001.jsonl").write_bytes(hours(0, 3))
    assert EventLogReader(path).last_id() == "2026-01-01T02:00:00.000Z/0"
    assert EventLogReader(None).last_id() == ""
    assert EventLogReader(None).find(Query(), 9) == []
