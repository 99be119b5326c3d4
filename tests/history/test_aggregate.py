"""Tests the totals of events by minute: exact for any division into portions."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon
from support.totals import assert_equal, summed

from benchmarks.made_up_days import portions, stored, week
from edge_daemon.history.aggregate import AggregateState, aggregate
from edge_daemon.history.report import HistoryReport


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


@pytest.mark.parametrize("hours", [50, -50])
def test_a_clock_that_jumps_adds_only_the_time_that_passed(hours: int) -> None:
    """For 90 seconds before and 30 seconds after, with a face and its label."""
    noon = datetime(2026, 1, 10, 12, tzinfo=UTC)
    common = {"camera": "c", "run": "1", "face": 1, "label": "happy"}
    told = [("daemon_start", 0.0), ("face_start", 0.0), ("expression_start", 30.0)]
    told += [("clock_jump", 90.0), ("face_end", 120.0), ("daemon_stop", 120.0)]
    events = [
        {
            **common,
            "type": kind,
            "time": (noon + timedelta(hours=hours * (after_s >= 90), seconds=after_s)).isoformat(),
            "jump_s": hours * 3600.0,
            "duration_s": 120.0,
        }
        for kind, after_s in told
    ]
    minutes, _ = aggregate(events, AggregateState())
    total = summed(minutes.values())
    assert (total.recorded_ms, total.face_ms) == (120_000, 120_000)
    assert total.expressions == {"happy": 90_000}
    before = noon.timestamp() // 60
    after = before + hours * 60 + 1
    assert {at: minute.recorded_ms for at, minute in minutes.items() if minute.recorded_ms} == {
        before: 60_000,
        before + 1: 30_000,
        after: 30_000,
    }
    again, _ = aggregate(events[4:], aggregate(events[:4], AggregateState())[1])
    assert summed(again.values()).recorded_ms == 30_000


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


def test_a_clock_that_jumps_counts_nothing_for_the_gap() -> None:
    common = {"camera": "c", "run": "1", "duration_s": 1.0, "face": 1}
    times = ["1970-01-01T00:01:00.000Z", "2026-01-01T00:00:00.000Z", "2025-12-31T23:00:00.000Z"]
    minutes, _ = aggregate(
        [{**common, "type": "face_start", "time": time} for time in times], AggregateState()
    )
    assert summed(minutes.values()).face_ms == 0
    assert len(minutes) == 3


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
