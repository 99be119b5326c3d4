"""`mien report`: the same totals as the daemon's, for any mixture of logs."""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from support.axe import axe_finds
from support.paths import ROOT

from benchmarks.made_up_days import MadeUpDays, entries, stored, week
from edge_daemon.commands import main
from edge_daemon.history.report import HistoryReport
from edge_daemon.report.archive import EventArchive, MemoryArchive, Run
from edge_daemon.report.duck import DuckArchive
from edge_daemon.report.totals import CameraTotals, camera_names, count

ZONE = "Europe/Berlin"
TOPIC = "mien/shop/door/event"
Read = Callable[[list[Path], Path], EventArchive]


@pytest.fixture(scope="module")
def days() -> MadeUpDays:
    return week(seed=8)


def lines_of(days: MadeUpDays, **others: Any) -> list[str]:
    return [json.dumps({"id": entry.id, **entry.event, **others}) for entry in entries(days.events)]


def in_memory(paths: list[Path], _: Path) -> EventArchive:
    return MemoryArchive(paths)


def on_disk(paths: list[Path], folder: Path) -> EventArchive:
    return DuckArchive(paths, folder=folder)


def write(path: Path, lines: list[str]) -> Path:
    text = "".join(f"{line}\n" for line in lines).encode()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def assert_known(camera: CameraTotals, days: MadeUpDays) -> None:
    total = camera.total()
    assert total.recorded_ms == days.totals.recorded_ms
    assert total.face_ms == days.totals.face_ms
    assert total.faces == total.arrivals == days.totals.arrivals
    assert total.expressions == days.totals.expressions
    assert total.stay_ms == sum(days.totals.stays_ms)


@pytest.mark.parametrize("read", [in_memory, on_disk])
def test_any_mixture_of_logs_gives_the_daemons_totals(
    days: MadeUpDays, read: Read, tmp_path: Path
) -> None:
    """A log in parts, messages of a broker in any order and sent twice, and lines of others."""
    lines = lines_of(days)
    third = len(lines) // 3
    messages = [
        json.dumps({"topic": TOPIC, "payload": line if n % 2 else json.loads(line)})
        for n, line in enumerate(lines[2 * third - 200 :])
    ]
    random.Random(1).shuffle(messages)
    others = [
        json.dumps({"topic": "mien/shop/door/availability", "payload": "online"}),
        json.dumps({"topic": "mien/shop/door/faces", "payload": {"count": 2}}),
        "[1]", "7", '{"torn": "li', '"text"', json.dumps({**days.events[0], "time": "noon"}),
        json.dumps({**days.events[0], "time": "0001-01-01T00:00:00Z"}),
    ]  # fmt: skip
    paths = [
        write(tmp_path / "events.000001.jsonl.gz", lines[: third + 100]),
        write(tmp_path / "events.jsonl", [*lines[third : 2 * third], ""]),
        write(tmp_path / "mqtt.jsonl", messages + others + messages[:50]),
    ]
    archive = read(paths, tmp_path)
    assert archive.skipped == len(others)
    (camera,) = count(archive, folder=tmp_path, zone=ZoneInfo(ZONE))
    assert camera.name == "made up"
    assert_known(camera, days)
    daemon = HistoryReport(stored(tmp_path, days.events), zone=ZoneInfo(ZONE))
    start = camera.first.replace(hour=0, minute=0, second=0, microsecond=0)
    hours = daemon.periods(start, start + timedelta(days=30), "hour")
    found = [hour for hour in camera.periods("hour") if hour.recorded_ms]
    assert found == [hour for hour in hours if hour.recorded_ms]


@pytest.mark.parametrize("read", [in_memory, on_disk])
def test_the_time_that_a_clock_skips_is_not_recorded(read: Read, tmp_path: Path) -> None:
    """By a log and by messages of a broker."""
    noon = datetime(2026, 1, 10, 12, tzinfo=UTC)
    common = {"camera": "c", "jump_s": 3600.0, "duration_s": 60.0}
    told = [("daemon_start", 0), ("clock_jump", 3630), ("daemon_stop", 3660)]
    events = [
        {**common, "type": kind, "time": (noon + timedelta(seconds=after_s)).isoformat()}
        for kind, after_s in told
    ]
    log = [json.dumps({**event, "run": "1"}) for event in events]
    messages = [
        json.dumps({"topic": TOPIC, "payload": json.dumps({**event, "run": "2"})})
        for event in events
    ]
    path = write(tmp_path / "events.jsonl", log + messages)
    cameras = count(read([path], tmp_path), folder=tmp_path, zone=UTC)
    assert [camera.total().recorded_ms for camera in cameras] == [60_000, 60_000]


@pytest.mark.parametrize("read", [in_memory, on_disk])
def test_events_without_ids_are_put_in_order(days: MadeUpDays, read: Read, tmp_path: Path) -> None:
    lines = [json.dumps(event) for event in days.events]
    path = write(tmp_path / "old.jsonl", lines)
    (camera,) = count(read([path], tmp_path), folder=tmp_path, zone=UTC)
    assert camera.total().arrivals == days.totals.arrivals
    assert camera.total().recorded_ms == days.totals.recorded_ms


@pytest.mark.parametrize("read", [in_memory, on_disk])
def test_cameras_of_one_name_are_told_apart(read: Read, tmp_path: Path) -> None:
    logs = []
    for number, shop in enumerate(("north", "south")):
        days = MadeUpDays(datetime(2026, 3, 25, 6, 0, tzinfo=UTC), seed=number)
        days.run(20 + number)
        lines = lines_of(days, run=shop)
        logs.append(write(tmp_path / shop / "events.jsonl", lines))
        logs.append(write(tmp_path / f"copy-{shop}" / "events.jsonl", lines))
    found = count(read(logs, tmp_path), folder=tmp_path, zone=UTC)
    assert [camera.total().arrivals for camera in found] == [20, 21]
    assert [Path(camera.name[9:-1]).name.removeprefix("copy-") for camera in found] == [
        "north",
        "south",
    ]


def test_a_camera_whose_log_was_moved_stays_one() -> None:
    runs = [
        Run("door", "1", "2026-10", "2026-10-01T00:00:00Z", "2026-10-31T00:00:00Z"),
        Run("door", "2", "2026-11", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
        Run("till", "3", "2026-11", "2026-10-01T00:00:00Z", "2026-11-02T00:00:00Z"),
    ]
    names = {("door", "1"): "door", ("door", "2"): "door", ("till", "3"): "till"}
    assert camera_names(runs) == names


@pytest.fixture(scope="module")
def report(days: MadeUpDays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the report of two cameras in each form."""
    folder = tmp_path_factory.mktemp("report")
    write(folder / "logs" / "made-up.jsonl.gz", lines_of(days))
    other = MadeUpDays(datetime(2026, 3, 29, 0, 0, tzinfo=UTC), seed=3)
    other.run_shop(hours=20)
    write(folder / "logs" / "shop.jsonl", lines_of(other, camera="=shop</script>"))
    outputs = [f"--out={folder / 'report'}.{form}" for form in ("html", "csv", "parquet")]
    assert main(["report", str(folder / "logs"), *outputs, "--time-zone", ZONE]) == 0
    return folder


def test_tables_have_the_totals(report: Path, days: MadeUpDays) -> None:
    with (report / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["camera"] for row in rows} == {"made up", "'=shop</script>"}
    mine = [row for row in rows if row["camera"] == "made up"]
    assert sum(int(row["arrivals"]) for row in mine) == days.totals.arrivals
    assert (
        round(sum(float(row["happy_s"] or 0) for row in mine) * 1000)
        == (days.totals.expressions["happy"])
    )
    query = "SELECT camera, sum(arrivals), sum(face_s) FROM read_parquet(?) GROUP BY 1 ORDER BY 1"
    table = duckdb.execute(query, [str(report / "report.parquet")]).fetchall()
    assert table[1][:2] == ("made up", days.totals.arrivals)
    assert round(table[1][2] * 1000) == days.totals.face_ms


@pytest.mark.parametrize("step", ["minute", "quarter", "hour", "day"])
@pytest.mark.parametrize("has_duckdb", [True, False])
def test_each_step_has_the_totals(
    days: MadeUpDays, step: str, has_duckdb: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two weeks, in more minutes than are asked for at once."""
    monkeypatch.setattr("edge_daemon.report.command._has_duckdb", lambda: has_duckdb)
    log, out = write(tmp_path / "log.jsonl", lines_of(days)), tmp_path / "out.csv"
    words = ["report", str(log), "--out", str(out), "--by", step, "--time-zone", "Asia/Kathmandu"]
    assert main(words) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["start"] for row in rows}) == len(rows)
    assert sum(int(row["arrivals"]) for row in rows) == days.totals.arrivals
    for column, ms in (("recorded_s", days.totals.recorded_ms), ("face_s", days.totals.face_ms)):
        assert round(sum(float(row[column]) for row in rows) * 1000) == ms


def test_few_faces_are_hidden_in_tables_and_pages(chromium: Any, tmp_path: Path) -> None:
    """The same as the daemon hides."""
    shop = MadeUpDays(datetime(2026, 3, 25, 4, tzinfo=UTC))
    shop.run_shop(hours=16)
    log = write(tmp_path / "logs" / "shop.jsonl", lines_of(shop))
    table, html = tmp_path / "report.csv", tmp_path / "report.html"
    words = ["report", str(log), "--out", str(table), "--out", str(html), "--time-zone", ZONE]
    assert main([*words, "--least-faces", "6"]) == 0
    zone = ZoneInfo(ZONE)
    daemon = HistoryReport(stored(tmp_path, shop.events), zone=zone, least_faces=6)
    start = datetime(2026, 3, 25, tzinfo=zone)
    hours = daemon.periods(start, start + timedelta(days=1), "hour")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["faces"] for row in rows] == [
        "" if hour.is_hidden else str(hour.faces) for hour in hours
    ]
    hidden = [row for row in rows if row["hidden"] == "True"]
    assert len(hidden) > 1
    assert {row[name] for row in hidden for name in ("arrivals", "stay_s", "happy_s")} == {""}
    page = chromium.new_page()
    page.goto(f"file://{html}")
    page.wait_for_selector("body[data-shown]")
    for table_id, step in (("#stays-table", "hour"), ("#day-table", "quarter")):
        periods = daemon.periods(
            start, start + timedelta(days=1), "hour" if step == "hour" else "quarter"
        )
        shown = page.locator(f"{table_id} tbody tr").evaluate_all(
            "all => all.map(row => row.cells[1].textContent)"
        )
        assert [cell == "–" for cell in shown] == [
            period.is_hidden or not period.recorded_ms for period in periods
        ]
    assert "too few faces to be shown" in page.inner_text("#day-legend")
    page.close()


@pytest.fixture
def page(chromium: Any, report: Path) -> Iterator[Any]:
    """The report in a browser; fails if it requests anything or raises an error."""
    page = chromium.new_page(viewport={"width": 1180, "height": 900}, color_scheme="dark")
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.extend([said.text] * (said.type == "error")))
    page.goto(f"file://{report / 'report.html'}")
    page.wait_for_selector("body[data-shown]")
    yield page
    page.close()
    assert [url for url in asked if not url.startswith("data:")] == [
        f"file://{report / 'report.html'}"
    ]
    assert complaints == []


def seconds(text: str) -> int:
    hours, minutes, rest = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + rest


def test_the_page_has_the_same_totals(page: Any, days: MadeUpDays) -> None:
    cells = page.locator("#cameras tr", has_text="made up").locator("td").all_inner_texts()
    assert seconds(cells[2]) == round(days.totals.recorded_ms / 1000)
    assert int(cells[3]) == days.totals.arrivals
    assert seconds(cells[4]) == round(days.totals.face_ms / 1000)
    page.select_option("#camera", "made up")
    zone = ZoneInfo(ZONE)
    page.fill("#date", "2026-03-29")  # a day of 23 hours
    page.wait_for_selector("body[data-shown='2026-03-29']")
    start = datetime(2026, 3, 29, tzinfo=zone)
    expected = days.between(start, start + timedelta(days=1))
    entries = page.locator("#day-facts div").all()
    facts = {each.locator("dt").inner_text(): each.locator("dd").inner_text() for each in entries}
    assert facts["Faces"] == str(expected.faces)
    assert seconds(facts["Time of faces"]) == round(expected.face_ms / 1000)
    assert facts["Recorded"].endswith(" of 23:00:00")
    assert page.locator("#day-table tbody tr").count() == 92
    assert page.locator("#stays-table tbody tr").count() == 23


def test_the_page_is_whole_and_legible(page: Any) -> None:
    assert page.locator("#camera option").all_inner_texts() == ["=shop</script>", "made up"]
    assert page.locator("#day-faces canvas").count() == 1
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function("() => document.querySelector('.uplot').offsetWidth < innerWidth")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_axe_finds_nothing_in_the_report(chromium: Any, report: Path) -> None:
    context = chromium.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(f"file://{report / 'report.html'}")
    page.wait_for_selector("body[data-shown]")
    assert axe_finds(page) == ""
    context.close()


def test_the_query_of_the_documents_counts_the_same(days: MadeUpDays, tmp_path: Path) -> None:
    lines = [json.dumps({"topic": TOPIC, "payload": json.loads(line)}) for line in lines_of(days)]
    write(tmp_path / "mqtt.jsonl.gz", lines[:2000])
    write(tmp_path / "mqtt.jsonl", lines[1500:])
    query = (ROOT / "docs" / "fleet.md").read_text().split("```sql\n")[1].split("```")[0]
    rows = duckdb.execute(query.replace("archive/", f"{tmp_path}/")).fetchall()
    assert {row[0] for row in rows} == {"made up"}
    assert sum(row[2] for row in rows) == days.totals.arrivals


@pytest.mark.parametrize("has_duckdb", [True, False])
def test_what_cannot_be_reported_is_named(
    tmp_path: Path,
    days: MadeUpDays,
    has_duckdb: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not has_duckdb:
        monkeypatch.setattr("edge_daemon.report.command._has_duckdb", lambda: False)
    good = write(tmp_path / "good.jsonl", lines_of(days)[:50])
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(gzip.compress(good.read_bytes())[:-200])
    (tmp_path / "empty").mkdir()
    nothing = write(tmp_path / "nothing.jsonl", ["{}", "x"])
    out = tmp_path / "out.html"
    for log, options, part in (
        (tmp_path / "missing", [], "missing does not exist"),
        (tmp_path / "empty", [], "no .jsonl or .jsonl.gz file"),
        (torn, [], f"{torn} cannot be read: "),
        (torn, [], f"save its readable part: zcat {torn} > torn.jsonl."),
        (nothing, [], "there is no event in these logs"),
        (good, ["--out", str(tmp_path / "x.pdf")], ".html or .csv or .parquet"),
        (
            good,
            ["--out", str(tmp_path / "no" / "x.csv")],
            f"the folder {tmp_path / 'no'} does not exist",
        ),
        (good, ["--time-zone", "Mars/Olympus"], "as Europe/Berlin"),
    ):
        assert main(["report", str(log), "--out", str(out), *options]) == 2, part
        said = capsys.readouterr().err
        assert part in said
        assert said.count("\n") == 1
        assert not out.exists()


@pytest.mark.parametrize("has_duckdb", [True, False])
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_a_full_folder_for_temporary_files_is_named(
    days: MadeUpDays,
    *,
    has_duckdb: bool,
    suffix: str,
    tmp_path: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("edge_daemon.report.command._has_duckdb", lambda: has_duckdb)
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    log, out = write(tmp_path / f"log{suffix}", lines_of(days)), tmp_path / "out.csv"
    assert main(["report", str(log), "--out", str(out), "--by", "minute"]) == 2
    said = capsys.readouterr().err
    assert "fix: set TMPDIR to a folder with more room." in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_without_duckdb_large_logs_and_parquet_are_refused(
    tmp_path: Path,
    days: MadeUpDays,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("edge_daemon.report.command._has_duckdb", lambda: False)
    good = write(tmp_path / "good.jsonl", lines_of(days))
    assert main(["report", str(good), "--out", str(tmp_path / "x.parquet")]) == 2
    assert "fix: pip install duckdb" in capsys.readouterr().err
    monkeypatch.setattr("edge_daemon.report.archive.MAX_BYTES", 1000)
    assert main(["report", str(good), "--out", str(tmp_path / "x.csv")]) == 2
    assert "fix: pip install duckdb" in capsys.readouterr().err
