"""A fleet at the protocol's level: many devices on one broker, nothing lost, all in order."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from broker import Listener, mosquitto, until
from conftest import ROOT

DEVICES = int(os.environ.get("MIEN_DEVICES", "200"))
SECONDS = float(os.environ.get("MIEN_SECONDS", "60"))
RATE = 5.0
# What a broker lets wait for a slow reader; beyond it, it throws away.
LINES = ["allow_anonymous true", "max_queued_messages 0"]


class Archive(Listener):
    """Hears events, each once, and how late they are."""

    def __init__(self, port: int) -> None:
        self.numbers: dict[int, list[int]] = {}
        self.delays_s: list[float] = []
        super().__init__(port, topic="mien/+/+/event")

    @property
    def count(self) -> int:
        return len(self.delays_s)

    def _hear(self, _: Any, __: object, message: Any) -> None:
        event = json.loads(message.payload)
        numbers = self.numbers.setdefault(event["camera"], [])
        if not event.get("redelivered") or event["n"] not in numbers:
            delay = datetime.now(UTC) - datetime.fromisoformat(event["time"])
            numbers.append(event["n"])
            self.delays_s.append(delay.total_seconds())


@pytest.mark.long
def test_a_fleet_loses_nothing(tmp_path: Path) -> None:
    words = [DEVICES, SECONDS, RATE]
    with mosquitto(tmp_path, LINES) as broker, Archive(broker.port) as archive:
        script = ROOT / "tests" / "fleet_devices.py"
        done = subprocess.run(
            [sys.executable, str(script), str(broker.port), str(tmp_path), *map(str, words)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        made = int(done.stdout)
        until(lambda: archive.count >= made)
    per_device = list(range(round(SECONDS * RATE)))
    assert sorted(archive.numbers) == list(range(DEVICES))
    assert all(numbers == per_device for numbers in archive.numbers.values())
    p50, p99 = (statistics.quantiles(archive.delays_s, n=100)[at] for at in (49, 98))
    print(
        f"\n{DEVICES} devices, {made} events in {SECONDS:g} s: all heard, in order; "
        f"delay median {1000 * p50:.0f} ms, 99 % {1000 * p99:.0f} ms"
    )
