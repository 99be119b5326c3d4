"""A year's event log: how fast the last hour is answered, and whether queries delay the stream.

    python -m benchmarks.year_log

Writes benchmarks/year_log.md. 365 rotated files, 100 MB of .gz in all, are made up once in a
temporary folder. The daemon shows the demo and serves them, while clients search the whole year and
readers of /events come back after an outage, all at once. The stream's delay is the time from a
picture's capture until it is sent.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.latency import ages, percentiles
from benchmarks.running import Running, daemon

DAYS, FILE_BYTES = 365, 275_000
QUERIES, SEARCHES, READERS, MISSED = 20, 3, 20, 5000
WATCH_S = 15.0
LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def main() -> None:
    """Make the log, run everything and write the report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder, datetime.now(UTC))
        size_mb = sum(path.stat().st_size for path in folder.glob("*.gz")) / 1e6
        rows = [("the log", f"{DAYS} files, {size_mb:.0f} MB of .gz")]
        settings = {
            "camera.source": "demo",
            "events.keep_days": 0,
            "events.keep_mb": 1000,
            "history.enabled": "false",
            "web.max_viewers": READERS + 1,
        }
        with daemon(settings, folder) as running:
            watch(running, 5.0)  # it warms up
            rows += measured(running)
    text = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    print(text)
    what = (__doc__ or "").partition("Writes")[0].strip().splitlines()[0]
    note = f"{what}\nMade by `python -m benchmarks.year_log`, which describes how."
    Path(__file__).with_suffix(".md").write_text(f"{note}\n\n{text}\n", encoding="utf-8")


def measured(running: Running) -> list[tuple[str, str]]:
    """Ask for the last hour, then watch the stream beside each load."""
    times_ms = [asked_ms(running, "/events?since=1h") for _ in range(QUERIES)]
    rows = [
        (
            "the last hour, median and longest answer",
            _pair_ms(statistics.median(times_ms), max(times_ms)),
        )
    ]
    loads = {
        "nobody else": idle,
        f"{SEARCHES} clients search the whole year": searching,
        f"{READERS} readers come back for {MISSED:,} events each": coming_back,
    }
    for name, load in loads.items():
        with load(running) as count:
            delays_ms = watch(running, WATCH_S)
        rows.append((f"stream's delay, {name}: median and p99", _pair_ms(*percentiles(delays_ms))))
        if load is coming_back:
            rows.append(("the readers have all they missed", f"after {count():.1f} s"))
    return rows


def _pair_ms(one: float, other: float) -> str:
    return f"{one:.0f} ms, {other:.0f} ms"


def write_log(folder: Path, now: datetime) -> None:
    """Write the rotated files of a year, oldest first."""
    chance = random.Random(1)  # noqa: S311 - not for secrets
    for number in range(DAYS):
        day = now - timedelta(days=DAYS - number)
        path = folder / f"events.{number + 1:06}.jsonl.gz"
        with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as file:
            for second in range(10**6):
                at = day + timedelta(seconds=20 * second / 10)
                file.write(_line(at, chance))
                if second % 500 == 0 and raw.tell() > FILE_BYTES:
                    break
        os.utime(path, (at.timestamp(),) * 2)


def _line(at: datetime, chance: random.Random) -> bytes:
    time_ = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = {
        "schema": 1,
        "id": f"{time_}/0",
        "time": time_,
        "type": "expression_change",
        "camera": "Door",
        "run": "0123abcd",
        "model": {"name": "expression", "sha256": "0123456789abcdef" * 4},
        "face": chance.randrange(10**6),
        "label": chance.choice(LABELS),
        "score": round(chance.random(), 3),
        "box": [chance.randrange(640) for _ in range(4)],
    }
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def asked_ms(running: Running, path: str) -> float:
    """Return how long a whole answer takes."""
    began_s = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{running.port}{path}", timeout=600) as answer:
        answer.read()
    return 1000 * (time.monotonic() - began_s)


def watch(running: Running, duration_s: float) -> list[float]:
    """Return the delays of the stream's pictures."""
    with urllib.request.urlopen(running.stream, timeout=20) as stream:  # noqa: S310 - http
        return [age.sent_ms for age in ages(stream, duration_s)]


@contextmanager
def idle(_: Running) -> Iterator[Callable[[], float]]:
    """No load."""
    yield float


@contextmanager
def searching(running: Running) -> Iterator[Callable[[], float]]:
    """Clients that search all files for what is not there, until the end of the block."""
    connections = [HTTPConnection("127.0.0.1", running.port, timeout=600) for _ in range(SEARCHES)]
    for connection in connections:
        connection.request("GET", "/events?label=none&limit=10000")
    try:
        yield float
    finally:
        for connection in connections:
            connection.close()


@contextmanager
def coming_back(running: Running) -> Iterator[Callable[[], float]]:
    """Readers that have missed the last events."""
    url = f"http://127.0.0.1:{running.port}/events?limit={MISSED + 1}&order=desc"
    with urllib.request.urlopen(url, timeout=600) as answer:
        first = json.load(answer)["events"][-1]["id"]
    done: list[float] = []
    began_s = time.monotonic()

    def read() -> None:
        asked = {"Accept": "text/event-stream", "Last-Event-ID": first}
        address = f"http://127.0.0.1:{running.port}/events"
        request = urllib.request.Request(address, headers=asked)
        count = 0
        with urllib.request.urlopen(request, timeout=600) as stream:  # noqa: S310 - http
            while count < MISSED:
                count += stream.readline().startswith(b"data: ")
        done.append(time.monotonic() - began_s)

    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    yield lambda: max(done, default=0.0)
    for reader in readers:
        reader.join()


if __name__ == "__main__":
    main()
