"""Tests the database of totals: rebuilt, killed, damaged, newer, and on a full disk."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon
from support.totals import assert_equal, summed
from support.waiting import until

from benchmarks.log_totals import totals_of
from benchmarks.made_up_days import entries, stored, week
from edge_daemon.commands import main
from edge_daemon.config.schema import validated
from edge_daemon.events.build import build_log_reader
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.log_reader import EventIds
from edge_daemon.history.build import HistoryUnavailable
from edge_daemon.history.part import HistoryPart
from edge_daemon.history.report import HistoryReport
from edge_daemon.history.store import VERSION, HistoryStore

ROOM_BYTES = 160_000  # for some of the totals of the made-up week
READING_BYTES = 80_000  # for what SQLite needs to read


def write_log(path: Path, events: list[dict[str, Any]]) -> None:
    ids = EventIds()
    lines = [
        json.dumps({"schema": 1, "id": ids.next(event["time"]), **event}, separators=(",", ":"))
        for event in events
    ]
    half = len(lines) // 2
    old = path.with_name("events.000001.jsonl.gz")
    old.write_bytes(gzip.compress(("\n".join(lines[:half]) + "\n").encode()))
    path.write_text("\n".join(lines[half:]) + "\n")


def test_rebuilding_gives_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = week(seed=6)
    write_log(tmp_path / "events.jsonl", days.events)
    for _ in range(2):
        assert (
            main(["history", "rebuild", "--set", f"events.path={tmp_path / 'events.jsonl'}"]) == 0
        )
        assert f"{len(days.events):,} events counted" in capsys.readouterr().out
        report = HistoryReport(HistoryStore(tmp_path / "events.history"), zone=UTC)
        start = datetime(2026, 3, 25, tzinfo=UTC)
        found = report.periods(start, start + timedelta(days=14), "day")
        assert_equal(summed(found), days.totals)


def test_a_database_that_cannot_be_rebuilt_is_named(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    log = small_disk / "events.jsonl"
    log.write_text(json.dumps(week().events[0]) + "\n")
    words = ["history", "rebuild", "--set", f"events.path={log}"]
    assert main(words) == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        f"mien: {small_disk / 'events.history'}: the history cannot be rebuilt: "
    )
    assert said.count("\n") == 1


def test_two_that_count_the_same_events_count_them_once(tmp_path: Path) -> None:
    events = entries(week().events[:100])
    one, other = (HistoryStore(tmp_path / "events.history") for _ in range(2))
    assert one.add(events[:50], after="")
    assert not other.add(events[:50], after="")
    assert other.add(events[50:], after=other.position)
    assert one.position == events[-1].id


def test_old_rows_are_deleted_by_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = week()
    store = stored(tmp_path, days.events)
    monkeypatch.setattr("edge_daemon.history.store.KEPT", {1: 100, 15: 20, 60: 5})
    store.prune()
    start = datetime(2026, 3, 1, tzinfo=UTC)
    found = HistoryReport(store, zone=UTC).periods(start, start + timedelta(days=60), "hour")
    recorded = [hour for hour in found if hour.recorded_ms]
    assert len(recorded) == 5
    assert recorded[-1].start > datetime(2026, 3, 26, tzinfo=UTC)


def has_logged(daemon: Daemon, events: int) -> bool:
    return len(daemon.events()) > events


@pytest.mark.usefixtures("blazeface_dir")
def test_after_kills_the_daemons_totals_are_those_of_its_log(tmp_path: Path) -> None:
    settings = ["camera.source=demo", "events.dwell_s=0", "events.cooldown_s=0"]
    settings += ["events.update_s=0.2", "history.time_zone=UTC"]
    chance = random.Random(3)
    for number in range(3):
        with Daemon(tmp_path, *settings) as daemon:
            before = len(daemon.events())
            wanted = before + chance.randrange(10, 40)
            daemon.until(partial(has_logged, daemon, wanted))
            if number == 2:
                assert daemon.stop() == 0
            else:
                daemon.stop(signal.SIGKILL)
    events = daemon.events()
    store = HistoryStore(tmp_path / "events.history")
    assert store.position == events[-1]["id"]
    start, known = datetime.fromisoformat(events[0]["time"]), totals_of(events)
    found = HistoryReport(store, zone=UTC).periods(start, start + timedelta(hours=1), "minute")
    assert sum(minute.face_ms for minute in found) > 0
    for minute in found:
        begin_ms = round(minute.start.timestamp() * 1000)
        expected = known.of(begin_ms, begin_ms + 60_000)
        row = minute.as_dict()
        assert {name: row[name] for name in expected} == expected


@pytest.mark.usefixtures("blazeface_dir")
def test_a_damaged_database_is_counted_again_from_the_log(tmp_path: Path) -> None:
    database = tmp_path / "events.history"
    database.write_bytes(b"not a database" * 1000)
    with Daemon(tmp_path, "camera.source=demo") as daemon:
        daemon.until(lambda: any("counted again" in line for line in daemon.log))
        daemon.until(lambda: database.exists() and database.read_bytes()[:6] == b"SQLite")
        daemon.until(lambda: daemon.state()["history"] == {"enabled": True, "trouble": ""})
        assert daemon.stop() == 0
    assert HistoryStore(database).position == daemon.events()[-1]["id"]
    assert (tmp_path / "events.history.old").read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("is_rebuilt", [True, False])
def test_a_database_of_a_newer_version_is_kept(tmp_path: Path, is_rebuilt: bool) -> None:
    log, database, aside = (
        tmp_path / f"events.{name}" for name in ("jsonl", "history", "history.old")
    )
    write_log(log, week().events)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        connection.execute("CREATE TABLE of_the_future (value)")
        connection.commit()
    config = validated({"events": {"path": str(log)}})
    reader = build_log_reader(config)
    if is_rebuilt:
        assert main(["history", "rebuild", "--set", f"events.path={log}"]) == 0
    else:
        feed = EventFeed([], last_id=reader.last_id())
        part = HistoryPart(config, feed=feed, log_reader=reader, on_failure=lambda _: None)
        with pytest.raises(HistoryUnavailable, match="is starting"):
            part.answers()
        part.start()
        until(lambda: part.trouble() == "" and aside.exists())
        until(lambda: HistoryStore(database).position == feed.last_id)
        part.stop()
    assert HistoryStore(database).position == reader.last_id()
    with closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("SELECT count(*) FROM of_the_future").fetchone() == (0,)


def test_on_a_full_disk_the_totals_so_far_are_answered(small_disk: Path) -> None:
    """What cannot be written is counted once there is room, and nothing twice."""
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    days, rest = week(), small_disk / "rest"
    write_log(small_disk / "events.jsonl", days.events)
    with suppress(OSError), rest.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    os.truncate(rest, rest.stat().st_size - ROOM_BYTES)
    config = validated({"events": {"path": str(small_disk / "events.jsonl")}})
    reader = build_log_reader(config)
    feed = EventFeed([], last_id=reader.last_id())

    def made() -> HistoryPart:
        return HistoryPart(config, feed=feed, log_reader=reader, on_failure=lambda _: None)

    part = made()
    part.start()
    until(part.trouble)
    assert "the history cannot be written: " in part.trouble()
    part.stop()
    os.truncate(rest, rest.stat().st_size - READING_BYTES)
    report = part.answers()
    assert report is not None
    start = datetime(2026, 3, 25, tzinfo=UTC)
    before = summed(report.periods(start, start + timedelta(days=14), "day"))
    assert 0 < before.arrivals < days.totals.arrivals
    rest.unlink()
    part = made()
    part.start()
    until(lambda: HistoryStore(small_disk / "events.history").position == feed.last_id)
    part.stop()
    after = HistoryReport(HistoryStore(small_disk / "events.history"), zone=UTC)
    assert_equal(summed(after.periods(start, start + timedelta(days=14), "day")), days.totals)
