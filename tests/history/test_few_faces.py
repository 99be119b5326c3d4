"""Tests that few faces are hidden in every answer, and cannot be calculated from several."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from benchmarks.made_up_days import MadeUpDays, stored
from edge_daemon.history.periods import Period
from edge_daemon.history.report import WHOLES, HistoryReport, Step
from edge_daemon.history.table import labels_of, rows_of

LEAST = 5
START = datetime(2026, 3, 24, 20, tzinfo=UTC)
END = START + timedelta(days=3)
ZONES = [ZoneInfo("Asia/Kathmandu"), ZoneInfo("Europe/Berlin")]


@pytest.fixture(scope="module", params=ZONES, ids=str)
def reports(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[HistoryReport, HistoryReport]:
    """Return the reports of three days of a shop: all, and without few faces."""
    days = MadeUpDays(START)
    while days.at < END - timedelta(hours=20):
        days.run_shop(hours=19)
        days.rest(hours=1)
    store = stored(tmp_path_factory.mktemp("few"), days.events)
    return (
        HistoryReport(store, zone=request.param),
        HistoryReport(store, zone=request.param, least_faces=LEAST),
    )


def people(periods: list[Period]) -> int:
    """Return how many different faces there were at least."""
    arrivals = sum(period.arrivals for period in periods)
    return max([arrivals, *(period.faces for period in periods)])


@pytest.mark.parametrize("step", ["hour", "quarter", "minute"])
def test_no_difference_of_two_answers_is_that_of_a_few(
    reports: tuple[HistoryReport, HistoryReport], step: Step
) -> None:
    full, shy = reports
    wholes = shy.periods(START, END, WHOLES[step])
    begin, end = wholes[0].start, wholes[-1].end
    parts, real = shy.periods(begin, end, step), full.periods(begin, end, step)
    assert [part.start for part in parts] == [each.start for each in real]
    groups = 0  # of parts of which some are hidden
    pairs = deque(zip(parts, real, strict=True))
    for whole in wholes:
        within = []
        while pairs and pairs[0][0].start.timestamp() < whole.end.timestamp():
            within.append(pairs.popleft())
        hidden = [each for part, each in within if part.is_hidden]
        shown = [each for part, each in within if not part.is_hidden and each.faces]
        assert all(each.faces >= LEAST for each in shown)
        if whole.is_hidden:
            assert shown == []
        elif hidden and shown:
            assert people(hidden) >= LEAST
            groups += 1
    assert not pairs
    assert groups or step == "minute"  # few minutes have so many faces


def test_part_of_a_day_is_hidden_as_in_the_whole_day(
    reports: tuple[HistoryReport, HistoryReport],
) -> None:
    _, shy = reports
    whole = shy.periods(START, END, "hour")
    for hours in range(0, 60, 7):
        begin = START + timedelta(hours=hours)
        some = shy.periods(begin, begin + timedelta(hours=5), "hour")
        assert some == [hour for hour in whole if hour.start in {each.start for each in some}]
        assert len(some) in (5, 6)


def test_weekdays_are_the_sums_of_the_days_that_are_shown(tmp_path: Path) -> None:
    days = MadeUpDays(datetime(2026, 3, 2, 10, tzinfo=UTC))
    for faces in (8, 3, 2):
        days.run(faces)
        days.at = days.at.replace(hour=10, minute=0) + timedelta(days=7)
    store = stored(tmp_path, days.events)
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    shy = HistoryReport(store, zone=UTC, least_faces=LEAST)
    found = {
        weeks: shy.periods(begin, begin + timedelta(weeks=weeks), "weekday") for weeks in (1, 3)
    }
    assert [found[weeks][0].faces for weeks in (1, 3)] == [8, 8]
    assert found[3][0].recorded_ms > found[1][0].recorded_ms
    later = shy.periods(begin + timedelta(weeks=1), begin + timedelta(weeks=3), "weekday")
    assert later[0].as_dict()["hidden"] is True
    assert later[0].as_dict()["faces"] is None


def test_a_table_does_not_name_what_only_hidden_faces_showed() -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    shown = Period(start=at, end=at, expressions={"happy": 1000}, carried=9)
    hidden = Period(start=at, end=at, expressions={"disgust": 1000}, carried=1, is_hidden=True)
    assert labels_of([shown, hidden]) == ["happy"]
    assert [row["happy_s"] for row in rows_of([shown, hidden], ["happy"])] == [1.0, None]
