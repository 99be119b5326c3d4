"""Compares everything that counts events over a real hour: log, API, table, page and reports.

    python -m benchmarks.hour 60            (make bench-hour MINUTES=60)

The daemon runs on a clip in which people come and go, for so many minutes. In the first half the
clip is away for a while, then the camera is paused; in the middle the daemon is killed. At the end
`log_totals` counts the log on its own, and every figure must be its, to the millisecond where the
daemon gives these, else to the second. Writes benchmarks/hour.md. Needs the clips of $MIEN_DATA,
Chromium, and an environment without DuckDB in .venv/edge.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from playwright.sync_api import Page, sync_playwright

from benchmarks.clips import ROOT
from benchmarks.log_totals import LogTotals, logged, totals_of
from benchmarks.running import free_port, wait_for
from benchmarks.visits import write_visits

ZONE: Final = ZoneInfo("Asia/Kolkata")  # whose hours begin at half hours of UTC
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
CLIP, CONFIG, STEPS = "visits.mp4", "config.yaml", ("minute", "quarter", "hour", "day", "weekday")


class Comparison:
    """Collects what differs, and how many figures do not."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.equal: dict[str, int] = {}

    def check(self, place: str, what: str, found: object, least: object, most: object) -> None:
        """`found` should be `least`; or, of a time that goes on, between both."""
        if found == least or (isinstance(found, int | float) and least <= found <= most):  # type: ignore[operator]
            self.equal[place] = self.equal.get(place, 0) + 1
        else:
            self.lines.append(f"{place}: {what} is {found}, and in the log {least} to {most}")


@contextmanager
def recorder(folder: Path, log: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon with the configuration in `folder`."""
    command = [sys.executable, "-m", "edge_daemon", "run", "--config", str(folder / CONFIG)]
    child = subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        child.wait()


def record(folder: Path, minutes: float, compared: Callable[[int], None]) -> None:
    """Run the daemon for `minutes`, interrupted in three ways; call `compared` at the end."""
    port, clip, part_s = free_port(), folder / CLIP, minutes * 60 / 16
    write_visits(clip)
    os.nice(10)
    settings = {
        "camera": {"name": "hall", "source": str(clip)},
        "events": {"path": str(folder / "events.jsonl"), "rotate_mb": 1.0},
        "history": {"time_zone": ZONE.key},
        "web": {"port": port},
        "privacy": {"pause": False},
    }

    def configure(child: subprocess.Popen[bytes] | None, *, pause: bool) -> None:
        settings["privacy"] = {"pause": pause}
        (folder / CONFIG).write_text(json.dumps(settings))
        if child is not None:
            child.send_signal(signal.SIGHUP)

    configure(None, pause=False)
    with (folder / "daemon.log").open("a") as log:
        with recorder(folder, log) as child:
            time.sleep(4 * part_s)
            clip.rename(folder / "away")
            time.sleep(part_s)
            (folder / "away").rename(clip)
            time.sleep(part_s)
            configure(child, pause=True)
            time.sleep(part_s)
            configure(child, pause=False)
            time.sleep(part_s)
            child.kill()
        time.sleep(min(part_s, 20))
        with recorder(folder, log):
            time.sleep(8 * part_s)
            wait_for(port)
            compared(port)


def compare(folder: Path, port: int) -> Comparison:
    """Compare what the running daemon says of the log in `folder`, and what reports say."""
    found = Comparison()
    _compare_api(found, folder, f"http://127.0.0.1:{port}")
    with sync_playwright() as engines:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = engines.chromium.launch(executable_path=program, args=FLAGS)
        _compare_page(found, browser.new_page(), folder, f"http://127.0.0.1:{port}")
        for name, python in (("DuckDB", sys.executable), ("Python", _edge_python())):
            _compare_report(found, browser.new_page(), folder, name, python)
        browser.close()
    return found


def _edge_python() -> str:
    return str(ROOT / ".venv/edge/bin/python")


def _between(folder: Path, begun_ms: int) -> tuple[LogTotals, LogTotals]:
    """Return the log's totals when an answer was asked for, and when it was there."""
    events = logged(folder)
    return totals_of(events, begun_ms), totals_of(events, round(time.time() * 1000))


def _compare_api(found: Comparison, folder: Path, url: str) -> None:
    start = datetime.fromisoformat(logged(folder)[0]["time"]).astimezone(ZONE)
    since = start.strftime("%Y-%m-%dT%H:%M")
    for step in STEPS:
        for form in ("json", "csv"):
            begun_ms = round(time.time() * 1000)
            query = f"{url}/history?from={since}&by={step}&format={form}"
            with urllib.request.urlopen(query, timeout=30) as answer:  # noqa: S310
                text = answer.read().decode()
            least, most = _between(folder, begun_ms)
            rows = json.loads(text)["periods"] if form == "json" else list(_rows(text))
            _compare_rows(found, f"/history by {step} as {form}", rows, least, most)


def _rows(text: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table as /history has them."""
    for row in csv.DictReader(io.StringIO(text)):
        values = {
            name: float(value) if value else None
            for name, value in row.items()
            if name not in ("start", "end", "weekday", "hidden", "camera")
        }
        known = {"recorded_s", "face_s", "stay_s", "mean_stay_s", "longest_stay_s"}
        labels = {
            name[:-2]: values[name] for name in values if name.endswith("_s") and name not in known
        }
        yield {
            "start": row["start"],
            "end": row["end"],
            **values,
            "expressions": {label: value for label, value in labels.items() if value},
        }


def _compare_rows(
    found: Comparison,
    place: str,
    rows: Sequence[Mapping[str, Any]],
    least: LogTotals,
    most: LogTotals,
) -> None:
    for row in rows:
        begin_ms, end_ms = (
            round(datetime.fromisoformat(row[name]).timestamp() * 1000) for name in ("start", "end")
        )
        low, high = least.of(begin_ms, end_ms), most.of(begin_ms, end_ms)
        for name in (
            "recorded_s",
            "faces",
            "arrivals",
            "face_s",
            "departures",
            "stay_s",
            "longest_stay_s",
        ):
            found.check(place, f"{row['start']} {name}", row[name], low[name], high[name])
        labels = {*low["expressions"], *high["expressions"], *row["expressions"]}
        for label in labels:
            values = (each["expressions"].get(label, 0.0) for each in (row, low, high))
            found.check(place, f"{row['start']} {label}", *values)


def _compare_page(found: Comparison, page: Page, folder: Path, url: str) -> None:
    """Each figure of the page is rounded to seconds."""
    begun_ms = round(time.time() * 1000)
    page.goto(f"{url}/history.html")
    page.wait_for_selector("body[data-shown]")
    day = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    facts = {
        each.locator("dt").inner_text(): each.locator("dd").inner_text()
        for each in page.locator("#day-facts div").all()
    }
    rows = page.locator("#day-table tr").evaluate_all(
        "all => all.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    least, most = _between(folder, begun_ms)
    place = "page in Chromium"
    begin_ms, end_ms = (round(at.timestamp() * 1000) for at in (day, day + timedelta(days=1)))
    low, high = least.of(begin_ms, end_ms), most.of(begin_ms, end_ms)
    found.check(place, "Faces", int(facts["Faces"]), low["faces"], high["faces"])
    shown = {"face_s": facts["Time of faces"], "recorded_s": facts["Recorded"].split(" of ")[0]}
    for name, text in shown.items():
        found.check(place, name, _seconds(text), _rounded(low[name]), _rounded(high[name]))
    head, *quarters, _ = rows
    for number, cells in enumerate(quarters):
        begin_ms = round(day.timestamp() * 1000) + number * 900_000
        low, high = (each.of(begin_ms, begin_ms + 900_000) for each in (least, most))
        if cells[1] == "–":
            found.check(place, f"{cells[0]} recorded", 0, low["recorded_s"], high["recorded_s"])
            continue
        values = {"Faces": "faces", "Arrived": "arrivals", "Time of faces": "face_s"}
        for name, key in values.items():
            text = cells[head.index(name)]
            value = _seconds(text) if ":" in text else int(text)
            found.check(place, f"{cells[0]} {name}", value, _rounded(low[key]), _rounded(high[key]))
        for label in {*low["expressions"], *high["expressions"]}:
            value = _seconds(cells[head.index(label)])
            some = (_rounded(each["expressions"].get(label, 0)) for each in (low, high))
            found.check(place, f"{cells[0]} {label}", value, *some)


def _compare_report(found: Comparison, page: Page, folder: Path, name: str, python: str) -> None:
    """A report ends with the last event."""
    copy = Path(tempfile.mkdtemp(dir=folder, prefix="logs-"))
    for path in folder.glob("events*.jsonl*"):
        if path.suffix in (".gz", ".jsonl"):
            shutil.copy(path, copy)
    totals = totals_of(logged(copy))
    for step in STEPS[:-1]:
        outputs = [f"--out={copy / f'{step}.csv'}", f"--out={copy / f'{step}.html'}"]
        words = ["report", str(copy), *outputs, "--by", step, "--time-zone", ZONE.key]
        subprocess.run(  # noqa: S603
            [python, "-m", "edge_daemon", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        rows = list(_rows((copy / f"{step}.csv").read_text()))
        _compare_rows(found, f"mien report with {name}, CSV", rows, totals, totals)
    page.goto(f"file://{copy / 'day.html'}")
    page.wait_for_selector("body[data-shown]")
    cells = page.locator("#cameras tr", has_text="hall").locator("td").all_inner_texts()
    whole = totals.of(0, 2**53)
    place = f"mien report with {name}, page"
    for what, text, key in (
        ("recorded", cells[2], "recorded_s"),
        ("time of faces", cells[4], "face_s"),
    ):
        found.check(place, what, _seconds(text), _rounded(whole[key]), _rounded(whole[key]))
    found.check(place, "faces", int(cells[3]), whole["faces"], whole["faces"])


def _rounded(seconds: float) -> int:
    return int(seconds + 0.5)


def _seconds(text: str) -> int:
    hours, minutes, rest = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + rest


def report(folder: Path, found: Comparison, minutes: float) -> str:
    """Return the result as Markdown."""
    events = logged(folder)
    totals = totals_of(events).of(0, 2**53)
    rows = [f"| {place} | {count} |" for place, count in found.equal.items()]
    return "\n".join([
        f"{minutes:.0f} minutes of a clip in which people come and go, at 5 frames a second, with",
        f"a lost camera, a pause and a `kill -9`: {len(events):,} events, {totals['faces']} faces,",
        f"{totals['face_s']:.3f} s of faces in {totals['recorded_s']:.3f} recorded ones.",
        "",
        "| what was compared with the log | figures that are equal |",
        "|---|---|",
        *rows,
        "",
        *(found.lines or ["Nothing differs."]),
        "",
    ])  # fmt: skip


def main() -> int:
    """Record, compare, print and write the result; 1 if anything differs."""
    minutes = float(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder, results = Path(name), list[Comparison]()
        record(folder, minutes, lambda port: results.append(compare(folder, port)))
        text = report(folder, results[0], minutes)
    print(text)
    note = f"# An hour counted by all\n\nMade by `make bench-hour MINUTES={minutes:g}`.\n\n"
    (Path(__file__).parent / "hour.md").write_text(note + text)
    return 1 if results[0].lines else 0


if __name__ == "__main__":
    sys.exit(main())
