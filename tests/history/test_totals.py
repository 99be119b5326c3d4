"""Tests totals of the log: exact for any division into batches, and in local time."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from support.daemon import Daemon
from support.waiting import until

from benchmarks.log_totals import totals_of
from benchmarks.made_up_days import MadeUpDays, Totals, entries, portions, stored, week
from edge_daemon.commands import main
from edge_daemon.config.schema import validated
from edge_daemon.events.build import build_log_reader
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.log_reader import Entry, EventIds
from edge_daemon.history.aggregate import AggregateState, Minute, aggregate
from edge_daemon.history.build import HistoryUnavailable
from edge_daemon.history.part import HistoryPart
from edge_daemon.history.periods import Period
from edge_daemon.history.report import HistoryReport, PeriodError, Step
from edge_daemon.history.store import VERSION, HistoryStore
from edge_daemon.web.history import as_json

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)
ROOM_BYTES = 160_000  # for some of the totals of the made-up week
READING_BYTES = 80_000  # for what SQLite needs to read


def summed(minutes: Iterable[Minute | Period]) -> Totals:
    found, stays = Totals(), 0
    for each in minutes:
        found.recorded_ms += each.recorded_ms
        found.face_ms += each.face_ms
        found.arrivals += each.arrivals
        found.expressions.update(each.expressions)
        stays += each.stay_ms
    found.stays_ms = [stays]
    return found


def assert_equal(found: Totals, expected: Totals) -> None:
    assert found.recorded_ms == expected.recorded_ms
    assert found.face_ms == expected.face_ms
    assert found.arrivals == expected.arrivals
    assert found.expressions == expected.expressions
    assert sum(found.stays_ms) == sum(expected.stays_ms)


def test_the_totals_are_those_of_the_days() -> None:
    days = week()
    minutes, _ = aggregate(days.events, AggregateState())
    assert_equal(summed(minutes.values()), days.totals)
    assert all(minute.recorded_ms <= 60_000 for minute in minutes.values())
    assert max(minute.longest_ms for minute in minutes.values()) == max(days.totals.stays_ms)


def test_they_do_not_depend_on_the_portions() -> None:
    days = week(seed=2)
    at_once, _ = aggregate(days.events, AggregateState())
    state, found = AggregateState(), []
    for portion in portions(days.events, seed=3):
        minutes, state = aggregate(portion, state)
        state = AggregateState.from_dict(json.loads(json.dumps(state.as_dict())))
        found += list(minutes.values())
    assert_equal(summed(found), days.totals)
    carried = Counter({n: m.carried for n, m in at_once.items() if m.carried})
    assert sum(minute.carried for minute in found) == sum(carried.values())


def test_minutes_hours_and_days_add_up(tmp_path: Path) -> None:
    days = week(seed=4)
    report = HistoryReport(stored(tmp_path, days.events), zone=BERLIN)
    start, end = datetime(2026, 3, 25, tzinfo=BERLIN), datetime(2026, 4, 8, tzinfo=BERLIN)
    steps: list[Step] = ["quarter", "hour", "day", "weekday"]
    for step in steps:
        assert_equal(summed(report.periods(start, end, step)), days.totals)
    minutes = [
        minute
        for day in range(14)
        for minute in report.periods(
            start + timedelta(days=day), start + timedelta(days=day + 1), "minute"
        )
    ]
    assert_equal(summed(minutes), days.totals)


def test_local_days_begin_at_local_midnight_and_clocks_are_changed(tmp_path: Path) -> None:
    days = MadeUpDays(datetime(2026, 3, 28, 22, 30, tzinfo=UTC))
    days.run(200)  # through the night in which clocks are put forward
    report = HistoryReport(stored(tmp_path, days.events), zone=BERLIN)
    start, end = datetime(2026, 3, 28, tzinfo=BERLIN), datetime(2026, 3, 31, tzinfo=BERLIN)
    found = report.periods(start, end, "day")
    assert [day.start.isoformat() for day in found] == [
        "2026-03-28T00:00:00+01:00",
        "2026-03-29T00:00:00+01:00",
        "2026-03-30T00:00:00+02:00",
    ]
    assert found[0].recorded_ms == 30 * 60_000
    hours = report.periods(start, end, "hour")
    assert len(hours) == 24 + 23 + 24
    assert len({hour.start for hour in hours}) == len(hours)
    assert hours[23].recorded_ms == 30 * 60_000
    steps: list[Step] = ["quarter", "hour", "day"]
    for zone in (ZoneInfo("Asia/Kathmandu"), ZoneInfo("Australia/Lord_Howe"), BERLIN):
        other = HistoryReport(report._store, zone=zone)
        for step in steps:
            assert_equal(summed(other.periods(start, end, step)), days.totals)


def test_an_hour_that_comes_twice_is_two_hours(tmp_path: Path) -> None:
    days = MadeUpDays(datetime(2026, 10, 24, 23, 0, tzinfo=UTC))
    days.run(200)
    report = HistoryReport(stored(tmp_path, days.events), zone=BERLIN)
    start = datetime(2026, 10, 25, tzinfo=BERLIN)
    hours = report.periods(start, start + timedelta(days=1), "hour")
    assert len(hours) == 25
    assert [hour.start.strftime("%H%z") for hour in hours[2:4]] == ["02+0200", "02+0100"]
    assert [hour.recorded_ms for hour in hours[1:4]] == [3_600_000] * 3


def test_times_without_a_daemon_are_not_recorded(tmp_path: Path) -> None:
    days = MadeUpDays(datetime(2026, 1, 1, tzinfo=UTC))
    days.run(1)
    report = HistoryReport(stored(tmp_path, days.events), zone=UTC)
    found = report.periods(
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), "hour"
    )
    assert 0 < found[0].recorded_ms < 3_600_000
    assert found[12].recorded_ms == 0


def test_pauses_and_lost_cameras_are_not_recorded() -> None:
    common = {"camera": "c", "run": "1", "duration_s": 1.0}
    told = ["daemon_start", "pause_start", "camera_lost", "camera_restored", "pause_end"]
    told += ["camera_lost", "pause_start", "pause_end", "camera_restored", "daemon_stop"]
    events = [
        {**common, "type": kind, "time": f"2026-01-01T12:00:{number:02}.000Z"}
        for number, kind in enumerate(told)
    ]
    minutes, state = aggregate(events, AggregateState())
    assert summed(minutes.values()).recorded_ms == 3000  # after the first, the fifth and the ninth
    assert AggregateState.from_dict(json.loads(json.dumps(state.as_dict()))) == state


@pytest.mark.usefixtures("blazeface_dir")
def test_a_pause_is_in_the_log_and_not_recorded(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("privacy: {pause: true}\n")
    with Daemon(tmp_path, "camera.source=demo", config=config) as daemon:
        daemon.until(lambda: any(event["type"] == "pause_start" for event in daemon.events()))
        config.write_text("privacy: {pause: false}\n")
        assert "reload refused" not in daemon.reload()
        daemon.until(lambda: any(event["type"] == "pause_end" for event in daemon.events()))
        assert daemon.stop() == 0
    started, paused, resumed, *_ = daemon.events()
    assert [started["type"], paused["type"], resumed["type"]] == [
        "daemon_start",
        "pause_start",
        "pause_end",
    ]
    minutes, _ = aggregate([started, paused, resumed], AggregateState())
    assert summed(minutes.values()).recorded_ms < 1000 * resumed["duration_s"]


def test_faces_count_once_in_every_period(tmp_path: Path) -> None:
    """One from 11:59:30 to 12:01:30, one at 12:01."""
    common = {"camera": "c", "run": "1"}
    times = [("11:59:30", "face_start", 1), ("12:01:00", "face_start", 2)]
    times += [("12:01:10", "face_end", 2), ("12:01:30", "face_end", 1)]
    events = [
        {**common, "time": f"2026-01-01T{at}.000Z", "type": kind, "face": face, "duration_s": 1.0}
        for at, kind, face in times
    ]
    report = HistoryReport(stored(tmp_path, events), zone=UTC)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    minutes = report.periods(noon - timedelta(minutes=1), noon + timedelta(minutes=2), "minute")
    assert [minute.faces for minute in minutes] == [1, 1, 2]
    hours = report.periods(noon - timedelta(hours=1), noon + timedelta(hours=1), "hour")
    assert [hour.faces for hour in hours] == [1, 2]
    (day,) = report.periods(noon, noon + timedelta(hours=1), "day")
    assert (day.faces, day.arrivals) == (2, 2)
    shy = HistoryReport(report._store, zone=UTC, least_faces=2)
    for hidden in shy.periods(noon - timedelta(hours=1), noon + timedelta(hours=1), "hour"):
        assert hidden.as_dict()["hidden"] is True  # of two faces in the day, one was in the first
        assert hidden.as_dict()["faces"] is hidden.as_dict()["expressions"] is None
    (told,) = shy.periods(noon, noon + timedelta(hours=1), "day")
    assert told.as_dict()["faces"] == 2


def test_a_period_that_is_too_long_or_none_is_refused(tmp_path: Path) -> None:
    report = HistoryReport(stored(tmp_path, week().events[:1]), zone=UTC)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(PeriodError, match="not after"):
        report.periods(start, start, "day")
    with pytest.raises(PeriodError, match="10,000 rows"):
        report.periods(start, start + timedelta(days=8), "minute")


def test_a_clock_that_jumps_counts_nothing_for_the_gap() -> None:
    common = {"camera": "c", "run": "1", "duration_s": 1.0, "face": 1}
    times = ["1970-01-01T00:01:00.000Z", "2026-01-01T00:00:00.000Z", "2025-12-31T23:00:00.000Z"]
    minutes, _ = aggregate(
        [{**common, "type": "face_start", "time": time} for time in times], AggregateState()
    )
    assert summed(minutes.values()).face_ms == 0
    assert len(minutes) == 3


def test_a_clock_set_back_never_has_time_of_faces_without_a_face(tmp_path: Path) -> None:
    """From 10:40 back to 09:50: the face was there in both hours, and few faces stay hidden."""
    told = [("10:00", "daemon_start"), ("10:30", "face_start"), ("10:40", "face_update")]
    told += [("09:50", "face_update"), ("10:10", "face_end"), ("10:59", "daemon_stop")]
    events = [
        {"camera": "c", "run": "1", "time": f"2026-01-01T{at}:00.000Z", "type": kind,
         "label": "happy", "duration_s": 2400.0, **({"face": 1} if "face" in kind else {})}
        for at, kind in told
    ]  # fmt: skip
    store = stored(tmp_path, events)
    begin = datetime(2026, 1, 1, 9, tzinfo=UTC)
    steps: list[Step] = ["minute", "quarter", "hour"]
    for step in steps:
        periods = HistoryReport(store, zone=UTC).periods(begin, begin + 2 * HOUR, step)
        assert sum(period.face_ms for period in periods) == 30 * 60_000
        assert all(period.faces == (1 if period.face_ms else 0) for period in periods)
        shy = HistoryReport(store, zone=UTC, least_faces=2).periods(begin, begin + 2 * HOUR, step)
        assert all(each.is_hidden == (each.face_ms + each.departures > 0) for each in shy)


def test_odd_events_are_left_out() -> None:
    good = week().events[:50]
    odd: list[Any] = [{}, {"type": 1}, {"time": "x", "type": "face_start", "run": "1"}, [], 7]
    odd += [{**good[5], "face": "x"}, {**good[0], "time": None}]
    expected, _ = aggregate(good, AggregateState())
    found, _ = aggregate([*odd[:5], *good], AggregateState())
    assert found == expected


def test_an_event_with_absurd_values_stops_nothing(tmp_path: Path) -> None:
    """Values that SQLite cannot store, or of a wrong type, are skipped or replaced."""
    good = week().events[:50]
    face = next(event for event in good if event["type"] == "face_start")
    absurd = [
        {**face, "type": "face_end", "duration_s": seconds}
        for seconds in (1e300, -1e300, float("nan"), float("inf"), -5, "1e30", None)
    ]
    labels = ["\ud800", "\x00", None, 7]
    for number, label in enumerate(labels):
        absurd.append({**face, "type": "face_update", "face": number + 10**30, "label": label})
    absurd += [
        {**good[-1], "type": "face_update", "face": number + 10**30, "label": label}
        for number, label in enumerate(labels)
    ]
    place = good.index(face)
    store = stored(
        tmp_path, [*good[:place], *absurd[: len(labels) + 7], *good[place:], *absurd[-4:]]
    )
    assert store.position
    begin = datetime.fromisoformat(good[0]["time"])
    (day,) = HistoryReport(store, zone=UTC).periods(begin, begin + timedelta(minutes=1), "day")
    expected, _ = aggregate(good, AggregateState())
    assert day.recorded_ms == summed(expected.values()).recorded_ms
    assert day.stay_ms == sum(minute.stay_ms for minute in expected.values())
    assert {"?", "\x00", "7"} <= set(day.expressions)
    assert "None" not in day.expressions


@pytest.mark.parametrize("stored_events", [0, 1, 700, 7000])
def test_events_that_are_not_stored_yet_count_in_answers(
    tmp_path: Path, stored_events: int
) -> None:
    """They count exactly, to the millisecond, at any time of the query."""
    days = week()
    all_entries = entries(days.events)
    store = HistoryStore(tmp_path / "events.history")
    if stored_events:
        store.add(all_entries[:stored_events], after="")

    def newer(position: str) -> list[Entry]:
        return [entry for entry in all_entries if entry.id > position]

    start = datetime(2026, 3, 25, tzinfo=BERLIN)
    steps: list[Step] = ["hour", "day"]
    for step in steps:
        report = HistoryReport(store, zone=BERLIN, newer=newer)
        found = report.periods(start, start + timedelta(days=14), step)
        whole = HistoryReport(stored(tmp_path / step, days.events), zone=BERLIN)
        assert found == whole.periods(start, start + timedelta(days=14), step)
        assert_equal(summed(found), days.totals)


def test_a_time_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        common = {"camera": "c", "run": "1", "type": "daemon_start"}
        times = ["2026-01-01T12:00:00", "2026-01-01T12:00:30.000Z"]
        minutes, _ = aggregate([{**common, "time": each} for each in times], AggregateState())
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [minute.recorded_ms for minute in minutes.values()] == [30_000]


@pytest.mark.parametrize("step", ["hour", "day", "weekday"])
def test_the_answer_says_what_the_periods_are(tmp_path: Path, step: Step) -> None:
    events = week().events
    events[3]["label"] = 'a "label" of ours, 微笑'
    store = stored(tmp_path, events)
    for least_faces in (0, 30):
        report = HistoryReport(store, zone=BERLIN, least_faces=least_faces)
        start = datetime(2026, 3, 28, tzinfo=BERLIN)
        periods = report.periods(start, start + timedelta(days=9), step)
        answer = json.loads(as_json(periods, step, BERLIN))
        assert answer["periods"] == [period.as_dict() for period in periods]
        assert [answer["time_zone"], answer["by"]] == ["Europe/Berlin", step]


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
