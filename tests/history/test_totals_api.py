"""Tests /history of the daemon: its answers and its refusals."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError

import pytest
from support.daemon import Daemon

from benchmarks.made_up_days import MadeUpDays
from edge_daemon.events.log_reader import EventIds

ZONE = "America/New_York"


@pytest.fixture(scope="module")
def days() -> MadeUpDays:
    """Return a day that ended some hours ago."""
    days = MadeUpDays(datetime.now(UTC) - timedelta(hours=38), seed=9)
    days.run(300)
    return days


@pytest.fixture(scope="module")
def daemon(
    days: MadeUpDays, tmp_path_factory: pytest.TempPathFactory, blazeface_dir: object
) -> Iterator[Daemon]:
    folder, ids = tmp_path_factory.mktemp("history"), EventIds()
    lines = (
        json.dumps({"id": ids.next(event["time"]), **event}, separators=(",", ":")) + "\n"
        for event in days.events
    )
    (folder / "events.jsonl").write_text("".join(lines))
    settings = ["camera.source=demo", f"history.time_zone={ZONE}", "events.rotate_h=0"]
    with Daemon(folder, *settings, "history.least_faces=2") as daemon:
        end = days.events[-1]["time"]
        daemon.until(lambda: sum_of(answer(daemon, f"from=40h&to={end}"), "arrivals") >= 290)
        yield daemon


def answer(daemon: Daemon, query: str) -> list[dict[str, Any]]:
    try:
        values = json.loads(daemon.get(f"/history?{query}"))
    except HTTPError as error:
        assert error.code == 503  # it is starting
        return []
    assert values["time_zone"] == ZONE
    return list(values["periods"])


def sum_of(periods: list[dict[str, Any]], key: str) -> float:
    return sum(period[key] or 0 for period in periods)


@pytest.mark.parametrize("by", ["minute", "hour", "day", "weekday"])
def test_it_answers_by_each_step(daemon: Daemon, days: MadeUpDays, by: str) -> None:
    end = days.events[-1]["time"]
    found = answer(daemon, f"from=40h&to={end}&by={by}")
    if by in ("day", "weekday"):
        assert sum_of(found, "arrivals") == days.totals.arrivals
        assert round(sum_of(found, "face_s") * 1000) == days.totals.face_ms
    offsets = {datetime.fromisoformat(period["start"]).utcoffset() for period in found}
    assert offsets <= {timedelta(hours=-5), timedelta(hours=-4)}
    assert ("weekday" in found[0]) == (by == "weekday")


def test_the_table_has_the_same_figures(daemon: Daemon) -> None:
    end = "to=20h"
    text = daemon.get(f"/history?from=40h&{end}&format=csv").decode()
    table = list(csv.DictReader(io.StringIO(text)))
    periods = answer(daemon, f"from=40h&{end}")
    assert [row["start"] for row in table] == [period["start"] for period in periods]
    busy = next(number for number, period in enumerate(periods) if period["expressions"])
    for label, seconds in periods[busy]["expressions"].items():
        assert float(table[busy][f"{label}_s"]) == seconds
    assert int(table[busy]["faces"]) == periods[busy]["faces"]


def test_the_time_since_the_last_event_counts(daemon: Daemon) -> None:
    def recorded() -> float:
        return sum_of(answer(daemon, "from=30m&by=minute"), "recorded_s")

    before = recorded()
    daemon.until(lambda: recorded() > before + 1)
    assert all(minute["recorded_s"] <= 60 for minute in answer(daemon, "from=30m&by=minute"))


def test_small_counts_are_hidden(daemon: Daemon) -> None:
    found = answer(daemon, "from=40h&by=hour") + answer(daemon, "from=40h&to=20h&by=minute")
    assert any(period["hidden"] for period in found)
    assert all(period["hidden"] or period["faces"] != 1 for period in found)
    assert all(period["faces"] is None for period in found if period["hidden"])


@pytest.mark.parametrize(
    "query",
    ["by=year", "from=yesterday", "from=1h&to=2h", "from=9999-12-31", "from=0001-01-01", "form=1h",
     "from=2020-01-01&by=minute", "format=xml"],
)  # fmt: skip
def test_what_cannot_be_answered_is_named(daemon: Daemon, query: str) -> None:
    with pytest.raises(HTTPError, match="400") as refused:
        daemon.get(f"/history?{query}")
    assert "?" in refused.value.read().decode()
