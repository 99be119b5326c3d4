"""Measures how old the pictures of a running daemon's stream are.

    python -m benchmarks.latency http://127.0.0.1:8080/stream.mjpg

Each part tells when its picture was captured and when it was sent; run this on the daemon's own
machine, or where both clocks agree.
"""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Iterator
from statistics import quantiles
from typing import Any, NamedTuple

DURATION_S = 10.0


class Age(NamedTuple):
    """Milliseconds from a picture's capture until it was sent, and until it was read."""

    sent_ms: float
    read_ms: float


def ages(stream: Any, duration_s: float) -> Iterator[Age]:
    """Yield the ages of the pictures that `stream` brings within `duration_s`."""
    end_s = time.monotonic() + duration_s
    while time.monotonic() < end_s and (line := stream.readline()):
        if not line.startswith(b"--"):
            continue
        headers = dict(iter(lambda: _header(stream), ("", "")))
        stream.read(int(headers["content-length"]))
        captured = float(headers["x-timestamp"])
        sent = float(headers["x-sent-timestamp"])
        yield Age((sent - captured) * 1000, (time.time() - captured) * 1000)


def _header(stream: Any) -> tuple[str, str]:
    name, _, value = stream.readline().decode().strip().partition(":")
    return name.lower(), value.strip()


def percentiles(values: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98]


def main() -> None:
    """Watch the stream for a while and print what was seen."""
    with urllib.request.urlopen(sys.argv[1], timeout=10) as stream:  # noqa: S310
        seen = list(ages(stream, DURATION_S))
    for name, values in (("sent", [a.sent_ms for a in seen]), ("read", [a.read_ms for a in seen])):
        median, last = percentiles(values)
        print(
            f"captured to {name}: median {median:.1f} ms, p99 {last:.1f} ms, {len(seen)} pictures"
        )


if __name__ == "__main__":
    main()
