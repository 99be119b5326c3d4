"""Runs many devices on one broker: no event is lost, and all are in order."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.broker import Listener, certificate, mosquitto, passwords
from support.daemon import Daemon
from support.paths import ROOT
from support.waiting import until

FLEET = ROOT / "deploy" / "fleet"
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


def test_the_alerts_and_the_dashboard_ask_for_metrics_that_there_are() -> None:
    known = set(re.findall(r"`(mien_\w+)", (ROOT / "docs" / "metrics.md").read_text()))
    known |= {f"{name}_bucket" for name in known}
    rules = yaml.safe_load((FLEET / "prometheus" / "alerts.yml").read_text())
    asked = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    dashboard = json.loads((FLEET / "grafana" / "dashboards" / "mien.json").read_text())
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert set(re.findall(r"mien_\w+", " ".join(asked))) <= known


@pytest.mark.usefixtures("blazeface_dir")
def test_the_fleets_broker_takes_from_each_device_its_own(tmp_path: Path) -> None:
    """TLS, passwords and access list, as in `deploy/fleet`, on another port."""
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("NOT TESTED: mosquitto is not installed (apt install mosquitto)")
    pem, _ = certificate(tmp_path)
    passwords(tmp_path, till="till secret", archive="archive secret")
    text = (FLEET / "mosquitto.conf").read_text().replace("/mosquitto/config/", f"{FLEET}/")
    text = re.sub("/mosquitto/(secrets|data)/", f"{tmp_path}/", text)
    lines = [line for line in text.splitlines() if not line.startswith("listener")]
    credentials = tmp_path / "credentials"
    credentials.write_text("till\ntill secret\n")
    credentials.chmod(0o600)
    with mosquitto(tmp_path, lines) as broker:
        settings = ["camera.source=demo", "camera.name=till", "mqtt.host=127.0.0.1"]
        settings += [f"mqtt.port={broker.port}", "mqtt.tls=true", f"mqtt.tls_ca={pem}"]
        settings += [f"mqtt.credentials={credentials}", "mqtt.commands=true"]
        with Daemon(tmp_path, *settings, "mqtt.topic=mien/site/{camera}") as daemon:
            daemon.until(lambda: daemon.state()["mqtt"]["acknowledged"] >= 3)
            assert daemon.stop() == 0
        with Daemon(tmp_path, *settings, "mqtt.topic=mien/site/other") as daemon:
            trouble = daemon.until(lambda: daemon.state()["mqtt"]["trouble"])
            assert trouble.endswith("Not authorized")
            assert daemon.state()["mqtt"]["acknowledged"] == 0


@pytest.mark.long
def test_a_fleet_loses_nothing(tmp_path: Path) -> None:
    words = [DEVICES, SECONDS, RATE]
    with mosquitto(tmp_path, LINES) as broker, Archive(broker.port) as archive:
        script = ROOT / "tests" / "support" / "fleet_devices.py"
        done = subprocess.run(
            [sys.executable, str(script), str(broker.port), str(tmp_path), *map(str, words)],
            env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
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
