"""The history's page in a real Chromium, served by a real server with made-up days."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from PIL import Image
from support.axe import axe_finds
from support.website import Site

from benchmarks.made_up_days import KnownTotals, MadeUpDays, stored
from edge_daemon.history.report import HistoryReport
from edge_daemon.web.credentials import hash_token

ZONE = ZoneInfo("Europe/Berlin")
DAY = "2026-03-25"
HOUR = timedelta(hours=1)
TOKEN = "for the tests of the history"  # noqa: S105


@pytest.fixture(scope="module")
def days() -> MadeUpDays:
    """Four weeks in a shop with some gaps; on DAY from 14:00 to 16:30 UTC."""
    days = MadeUpDays(datetime(2026, 3, 2, 14, 0, tzinfo=UTC))
    while days.at < datetime(2026, 4, 2, tzinfo=UTC):
        days.run_shop(hours=(datetime(2026, 3, 25, 14, tzinfo=UTC) - days.at) / HOUR % 76 or 76)
        days.rest(hours=1.5)
    return days


@pytest.fixture(scope="module")
def site(days: MadeUpDays, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("page")
    site = Site(folder)
    site.totals = HistoryReport(stored(folder, days.events), zone=ZONE)
    site.start()
    yield site
    site.stop()


def opened(chromium: Any, site: Site, path: str, **options: Any) -> Any:
    page = chromium.new_page(**{"viewport": {"width": 1180, "height": 900}, **options})
    page.goto(f"http://127.0.0.1:{site.server.port}/{path}")
    page.wait_for_selector("body[data-shown]")
    return page


@pytest.fixture
def page(chromium: Any, site: Site) -> Iterator[Any]:
    """The page of DAY; fails if it requests anything from elsewhere or raises an error."""
    page = chromium.new_page(viewport={"width": 1180, "height": 900})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.extend([said.text] * (said.type == "error")))
    url = f"http://127.0.0.1:{site.server.port}/"
    page.goto(f"{url}history.html#{DAY},2026-03-18")
    page.wait_for_selector(f"body[data-shown='{DAY}']")
    yield page
    page.close()
    assert [each for each in asked if not each.startswith(url)] == []
    assert complaints == []


def cells(page: Any, table: str) -> list[list[str]]:
    """Return the texts of a table's rows, also of a hidden table."""
    rows = "all => all.map(row => [...row.cells].map(cell => cell.textContent))"
    found: list[list[str]] = page.locator(f"{table} tr").evaluate_all(rows)
    return found


def seconds(text: str) -> int:
    hours, minutes, rest = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + rest


def facts(page: Any) -> dict[str, str]:
    entries = page.locator("#day-facts div").all()
    return {e.locator("dt").inner_text(): e.locator("dd").inner_text() for e in entries}


def known(days: MadeUpDays, date: str) -> KnownTotals:
    """Return the generator's totals of a local day."""
    start = datetime.fromisoformat(date).replace(tzinfo=ZONE)
    return days.between(start, start + timedelta(days=1))


def test_the_page_shows_what_happened_to_the_second(page: Any, days: MadeUpDays) -> None:
    expected = known(days, DAY)
    shown = facts(page)
    assert shown["Faces"] == str(expected.faces)
    assert seconds(shown["Time of faces"]) == round(expected.face_ms / 1000)
    recorded, _, day = shown["Recorded"].partition(" of ")
    assert seconds(recorded) == round(expected.recorded_ms / 1000)
    assert day == "24:00:00"
    head, *rows, total = cells(page, "#day-table")
    assert len(rows) == 96
    assert total[1:3] == [str(expected.faces), str(expected.arrivals)]
    for label, ms in expected.expressions.items():
        column = head.index(label)
        assert seconds(total[column]) == round(ms / 1000)
        parts = [seconds(row[column]) for row in rows if row[column] != "–"]
        assert abs(sum(parts) - ms / 1000) <= len(parts) / 2  # each is rounded


def test_what_was_not_recorded_is_not_zero(page: Any) -> None:
    rows = {row[0]: row for row in cells(page, "#day-table")}
    gone = rows["16:00–16:15"]
    assert gone[1:-1] == ["–"] * (len(gone) - 2)
    assert gone[-1] == "not recorded"
    assert any(row[-1].startswith("partly recorded, 0:") for row in rows.values())
    assert page.locator("#day-legend").inner_text().split("\n")[-1] == "not recorded"
    page.fill("#date", "2026-02-01")
    page.wait_for_selector("body[data-shown='2026-02-01']")
    assert page.is_visible("#day-empty")
    assert page.is_hidden("#day-charts")
    assert page.is_hidden("#stays-panel")
    assert page.is_hidden("#comparison-charts")


HATCHED = """chart => {
    const canvas = document.querySelector(`${chart} canvas`);
    const over = document.querySelector(`${chart} .u-over`);
    const context = canvas.getContext("2d");
    return Array.from({ length: 24 }, (_, hour) => {
        const x = over.offsetLeft + (hour + 0.1) / 24 * over.offsetWidth;
        const size = [over.offsetWidth / 32, over.offsetHeight / 3];
        const { data } = context.getImageData(x, over.offsetTop, ...size);
        const alphas = data.filter((_, at) => at % 4 === 3);
        return alphas.filter((alpha) => alpha && alpha < 200).length / alphas.length;
    });
}"""  # for each hour, the share of half-transparent pixels in the upper third


def test_hours_without_a_daemon_are_hatched(page: Any, days: MadeUpDays) -> None:
    start = datetime.fromisoformat(DAY).replace(tzinfo=ZONE)
    shares = page.evaluate(HATCHED, "#comparison")
    for hour, share in enumerate(shares):
        begin = start + timedelta(hours=hour)
        recorded_ms = days.between(begin, begin + timedelta(hours=1)).recorded_ms
        if recorded_ms == 0:
            assert share > 0.11
        elif recorded_ms == 3_600_000:
            assert share < 0.1


def test_a_time_can_be_read_by_keyboard(page: Any) -> None:
    page.focus("#time")
    for _ in range(2):
        page.keyboard.press("Home")
        assert page.inner_text("#readout").startswith("00:00 to 00:15: ")
    page.keyboard.press("End")
    assert page.inner_text("#readout").startswith("23:45 to 24:00: ")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#readout").startswith("23:30 to 23:45: ")
    page.fill("#time", str(11 * 4))
    sentence = page.inner_text("#readout")
    assert re.match(r"11:00 to 11:15: \d+ faces, .*neutral \d+.min", sentence)
    assert page.get_attribute("#time", "aria-valuetext") == sentence
    page.fill("#time", str(16 * 4))
    assert page.inner_text("#readout") == "16:00 to 16:15: not recorded."


def test_a_time_can_be_read_by_pointer(page: Any) -> None:
    page.hover("#day-expressions .u-over", position={"x": 2, "y": 20})
    assert page.inner_text("#readout").startswith("00:00 to 00:15: ")
    assert page.input_value("#time") == "0"


def test_charts_say_what_they_show(page: Any, days: MadeUpDays) -> None:
    names = page.locator("[role=img]").evaluate_all("all => all.map(one => one.ariaLabel)")
    expected = known(days, DAY)
    assert names[0].startswith(f"Faces on Wednesday, March 25, 2026: {expected.faces} in all")
    assert "happy" in names[1]
    assert f"{expected.arrivals} arrived" in names[2]
    assert "on Wednesday, March 18, 2026" in names[3]


def test_two_days_are_compared(page: Any, days: MadeUpDays) -> None:
    def column(at: int) -> list[str]:
        return [row[at] for row in cells(page, "#comparison-table")]

    for date, shown in ((DAY, column(1)), ("2026-03-18", column(2))):
        expected = known(days, date)
        assert shown[0] == date
        assert seconds(shown[1]) == round(expected.recorded_ms / 1000)
        assert shown[2:4] == [str(expected.faces), str(expected.arrivals)]
    page.click("#day-before")
    page.wait_for_function("() => location.hash === '#2026-03-25,2026-03-24'")
    page.click("#before")
    page.wait_for_selector("body[data-shown='2026-03-24']")
    assert page.input_value("#other-date") == "2026-03-23"  # as far apart as before


ALIGNED = """async ([one, other]) => {
    const { aligned } = await import("/static/history/comparison.js");
    const hours = async (date) => {
        const next = new Date(Date.parse(date) + 86400000).toISOString().slice(0, 10);
        return (await (await fetch(`history?by=hour&from=${date}&to=${next}`)).json()).periods;
    };
    const [mine, others] = [await hours(one), await hours(other)];
    const pairs = aligned(mine, others);
    return mine.map((hour, at) => [hour.start.slice(11, 13), pairs[at].start?.slice(11, 13)]);
}"""


def test_hours_are_compared_with_those_of_the_same_time(page: Any) -> None:
    """On days on which clocks are changed too."""
    spring = page.evaluate(ALIGNED, ["2026-03-22", "2026-03-29"])
    assert [hour for hour, other in spring if other is None] == ["02"]
    assert all(other in (hour, None) for hour, other in spring)
    assert len(spring) == 24
    assert len(page.evaluate(ALIGNED, ["2026-03-29", "2026-03-22"])) == 23
    autumn = page.evaluate(ALIGNED, ["2026-10-25", "2026-10-18"])
    assert [hour for hour, other in autumn if other is None] == ["02"]
    assert len(autumn) == 25


def test_arrivals_and_stays_are_told_by_hour(page: Any, days: MadeUpDays) -> None:
    head, *rows = cells(page, "#stays-table")
    assert head == ["Time", "Arrived", "Left", "Mean stay", "Longest stay"]
    assert len(rows) == 24
    arrived = sum(int(row[1]) for row in rows if row[1] != "–")
    assert arrived == known(days, DAY).arrivals


def test_the_week_has_a_cell_for_each_hour(page: Any, days: MadeUpDays) -> None:
    page.select_option("#weeks", "1")
    page.wait_for_function("() => document.querySelectorAll('#week td.missing').length")
    rows = cells(page, "#week")
    assert [row[0][:2] for row in rows[1:]] == ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"]
    midnight = datetime(2026, 3, 24, tzinfo=ZONE)
    known_hours = 0
    for hour, text in enumerate(rows[2][1:]):
        begin = midnight + timedelta(hours=hour)
        expected = days.between(begin, begin + timedelta(hours=1))
        assert (text == "–") == (expected.recorded_ms == 0)
        if expected.recorded_ms == 3_600_000:
            assert float(text) == pytest.approx(expected.faces, abs=0.5)
            known_hours += 1
    assert known_hours > 6


def test_the_table_can_be_saved(page: Any, days: MadeUpDays) -> None:
    with page.expect_download() as saved:
        page.click("#csv")
    rows = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text())))
    assert len(rows) == 96
    expected = known(days, DAY)
    assert sum(int(row["arrivals"]) for row in rows) == expected.arrivals
    assert round(sum(float(row["face_s"]) for row in rows) * 1000) == expected.face_ms


def test_the_live_page_leads_there_and_back(page: Any, site: Site) -> None:
    page.click("nav >> text=Live")
    page.wait_for_selector("#pill")
    page.click("nav >> text=History")
    page.wait_for_selector("body[data-shown]")
    assert page.input_value("#date") == datetime.now(ZONE).date().isoformat()


@pytest.mark.parametrize("width", [320, 390, 800])
def test_nothing_is_wider_than_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_function("() => document.querySelector('.uplot').offsetWidth < innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(chromium: Any, site: Site, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{site.server.port}/history.html#{DAY}")
    page.wait_for_selector("body[data-shown]")
    for each in page.locator("summary").all():
        each.click()
    assert axe_finds(page) == ""
    page.fill("#date", "2026-02-01")
    page.wait_for_selector("body[data-shown='2026-02-01']")
    assert axe_finds(page) == ""
    context.close()


def test_few_faces_are_neither_shown_nor_nothing(
    chromium: Any, site: Site, days: MadeUpDays, tmp_path: Path
) -> None:
    shy = Site(tmp_path)
    shy.totals = HistoryReport(stored(tmp_path, days.events), zone=ZONE, least_faces=4)
    shy.start()
    page = opened(chromium, shy, f"history.html#{DAY}")
    try:
        rows = cells(page, "#day-table")
        hidden = [row for row in rows if row[-1] == "too few faces"]
        assert hidden
        assert all(set(row[1:-1]) == {"–"} for row in hidden)
        assert "too few faces to be shown" in page.inner_text("#day-legend")
        assert facts(page)["Faces"] == str(known(days, DAY).faces)
    finally:
        page.close()
        shy.stop()


def test_without_a_history_the_page_says_so(chromium: Any, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.start()
    page = chromium.new_page()
    page.goto(f"http://127.0.0.1:{site.server.port}/history.html")
    page.wait_for_selector("#banner:not([hidden])")
    assert "history.enabled is off" in page.inner_text("#banner")
    page.close()
    site.stop()


def test_who_is_not_signed_in_is_asked(chromium: Any, tmp_path: Path) -> None:
    site = Site(tmp_path, token=hash_token(TOKEN))
    site.start()
    page = chromium.new_page()
    try:
        url = f"http://127.0.0.1:{site.server.port}/history.html"
        page.goto(url)
        assert page.title() == "Sign in · Mien"
        page.fill("#password", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("nav >> text=History")
        page.goto(url)
        page.wait_for_selector("#day-name")
        assert page.is_visible("text=Sign out")
    finally:
        page.close()
        site.stop()


def test_the_picture_of_the_page(chromium: Any, site: Site, tmp_path: Path) -> None:
    """With MIEN_HISTORY_PICTURE=docs/history.webp (`make picture`) it is kept."""
    page = opened(chromium, site, f"history.html#{DAY},2026-03-18", color_scheme="dark")
    page.wait_for_selector("#day-expressions canvas")
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    page.close()
    kept = Path(os.environ.get("MIEN_HISTORY_PICTURE", "") or tmp_path / "history.webp")
    shot.save(kept, quality=70, method=6)
    assert 20_000 < kept.stat().st_size < 200_000
