"""Tests totals by minute, hour, day and weekday in local time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.totals import BERLIN, assert_equal, summed

from benchmarks.made_up_days import MadeUpDays, entries, stored, week
from edge_daemon.events.log_reader import Entry
from edge_daemon.history.report import HistoryReport, PeriodError, Step
from edge_daemon.history.store import HistoryStore
from edge_daemon.web.history import as_json

HOUR = timedelta(hours=1)


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
