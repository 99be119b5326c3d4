"""What totals cost: the size of a year, the time of a query, and reports on large archives.

    python -m benchmarks.history year
    python -m benchmarks.history archive 10      # gigabytes, in build/

Prints lines of a table; benchmarks/history.md has them.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from benchmarks.made_up_days import LABELS, MadeUpDays, entries
from edge_daemon.history.report import HistoryReport
from edge_daemon.history.store import HOUR, KEPT, QUARTER, HistoryStore
from edge_daemon.history.totals import Totals
from edge_daemon.web.history import as_json

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
ZONE: Final = ZoneInfo("Europe/Berlin")
DAYS: Final = 365
GIGABYTE: Final = 1_000_000_000
CAMERAS: Final = 50
# What an event of a face has besides what is counted, as long as in a real log.
DETAILS: Final[dict[str, Any]] = {
    "score": 0.981,
    "scores": dict.fromkeys(
        ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"), 0.143
    ),
    "box": [390, 187, 155, 155],
    "detection_score": 0.922,
    "frame_size": [640, 480],
    "model": {"name": "expression", "sha256": "8607a33c" * 8},
}


def year(folder: Path) -> None:
    """Fill a year in which a face with all labels is there in every minute; query its hours."""
    store = HistoryStore(folder / "year.history")
    first = int(START.timestamp()) // 60
    for day in range(DAYS):
        sizes = KEPT if day >= DAYS - 30 else (QUARTER, HOUR)
        minutes = {
            first + day * 1440 + number: Totals(
                60_000, 60_000, 1, 1, 1, 40_123, 80_456,
                dict.fromkeys(LABELS, 8000 + number % 571),
            )
            for number in range(1440)
        }  # fmt: skip
        store.add_minutes(minutes, sizes)
    size = sum(path.stat().st_size for path in folder.glob("year.history*"))
    report = HistoryReport(store, zone=ZONE)
    took_ms: list[tuple[float, float]] = []
    for _ in range(7):
        begun = time.process_time()
        periods = report.periods(START, START + timedelta(days=DAYS), "hour")
        found = time.process_time()
        text = as_json(periods, "hour", ZONE)
        took_ms.append(((found - begun) * 1000, (time.process_time() - found) * 1000))
    sums_ms, json_ms = sorted(took_ms)[3]
    print(
        f"| {size / 1e6:.1f} MB | {sums_ms:.0f} ms | {json_ms:.0f} ms, {len(text) / 1e6:.1f} MB |"
    )


def archive(folder: Path, gigabytes: float) -> None:
    """Write an archive of `gigabytes` and report on it, within limits of memory."""
    days = MadeUpDays(START)
    days.run_shop(hours=22)
    log = folder / "archive.jsonl"
    copies, written = 0, 0
    text = _text(days)
    with log.open("w", encoding="utf-8") as file:
        while written < gigabytes * GIGABYTE:
            camera, day = f"camera {copies % CAMERAS}", START + timedelta(days=copies // CAMERAS)
            written += file.write(
                text.replace("2026-01-01T", f"{day.date()}T")
                .replace("made up", camera)
                .replace('"run":"00000001"', f'"run":"{copies:08x}"')
            )
            copies += 1
    table = folder / "report.csv"
    command = [sys.executable, "-m", "edge_daemon", "report", str(log), "--out", str(table)]
    begun = time.monotonic()
    process = os.posix_spawn(
        sys.executable, [*command, "--by", "day", "--time-zone", "UTC"], os.environ
    )
    _, status, usage = os.wait4(process, 0)
    took_s = time.monotonic() - begun
    assert status == 0  # noqa: S101
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    arrivals = sum(int(row["arrivals"]) for row in rows)
    face_ms = sum(round(float(row["face_s"]) * 1000) for row in rows)
    assert arrivals == copies * days.totals.arrivals  # noqa: S101
    assert face_ms == copies * days.totals.face_ms  # noqa: S101
    print(
        f"| {log.stat().st_size / GIGABYTE:.1f} GB, {copies * len(days.events):,} events of "
        f"{CAMERAS} cameras | {took_s:.0f} s, {usage.ru_utime + usage.ru_stime:.0f} s of processor "
        f"time | {usage.ru_maxrss / 1024:.0f} MB |"
    )


def _text(days: MadeUpDays) -> str:
    lines = (
        json.dumps({"id": entry.id, **entry.event, **(DETAILS if "label" in entry.event else {})},
                   separators=(",", ":"))
        for entry in entries(days.events)
    )  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    build = Path("build")
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build) as name:
        if sys.argv[1:] == ["year"]:
            year(Path(name))
        else:
            os.environ["TMPDIR"] = name  # as large as the archive
            archive(Path(name), float(sys.argv[2]))


if __name__ == "__main__":
    main()
