"""Tests that `kill -9` at any moment loses at most the line that is being written.

`make test-kill` kills each 50 times, this suite by itself a few.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon
from support.paths import ROOT

from edge_daemon.events.ram import RamLog
from edge_daemon.events.rotating import LogPolicy, RotatingLog, repair_last_line

KILLS = int(os.environ.get("MIEN_KILLS", "3"))


def killed_writer(path: Path, ram: str, after_s: float) -> tuple[int, int]:
    """Run the writer and kill it `after_s` after its first line; its run and last number."""
    writer = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "support" / "kill_writer.py"), str(path), ram],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert writer.stdout is not None
    with writer.stdout as printed:
        first = printed.readline()
        time.sleep(after_s)
        writer.kill()
        whole = [
            line
            for line in (first + printed.read()).splitlines(keepends=True)
            if line[-1:] == b"\n"
        ]
    writer.wait()
    return writer.pid, int(whole[-1])


def lines_of(path: Path) -> list[bytes]:
    """Return all lines of the log, the oldest first; lines in two files count once."""
    aside = sorted(path.parent.glob("events.0*.jsonl*"))
    plain = {file.name.removesuffix(".gz"): file for file in aside if file.suffix != ".part"}
    texts = [
        f.read_bytes() if f.suffix == ".jsonl" else gzip.decompress(f.read_bytes())
        for f in plain.values()
    ]
    if path.exists():  # between a rotation and the next event there is none
        texts.append(path.read_bytes())
    return [line for text in texts for line in text.splitlines(keepends=True)]


@pytest.mark.parametrize("in_ram", [False, True])
def test_a_killed_writer_loses_at_most_one_line(tmp_path: Path, in_ram: bool) -> None:
    path = tmp_path / "events.jsonl"
    ram = str(tmp_path / "ram") if in_ram else ""
    chance = random.Random(5)
    acknowledged = {}
    for _ in range(KILLS):
        run, last = killed_writer(path, ram, chance.uniform(0.0, 0.4))
        acknowledged[run] = last
    if in_ram:
        left = RamLog(tmp_path / "ram", RotatingLog(path, LogPolicy()))
        left.open()
        left.close()
    repair_last_line(path)
    written: dict[int, list[int]] = {}
    for line in lines_of(path):
        event = json.loads(line)
        written.setdefault(event["run"], []).append(event["n"])
    assert written.keys() == acknowledged.keys()
    for run, numbers in written.items():
        assert numbers == list(range(1, len(numbers) + 1))
        assert acknowledged[run] <= len(numbers) <= acknowledged[run] + 1


def has_face(daemon: Daemon) -> bool:
    return any(event["type"] == "face_start" for event in daemon.state()["events"])


def identity(event: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in event.items() if k != "id"}, sort_keys=True)


@pytest.mark.usefixtures("blazeface_dir")
def test_a_killed_daemon_has_logged_what_it_has_shown(tmp_path: Path, media_dir: Path) -> None:
    chance = random.Random(7)
    shown: list[str] = []
    for _ in range(KILLS):
        with Daemon(tmp_path, f"camera.source={media_dir / 'signing-book.mkv'}") as daemon:
            daemon.until(partial(has_face, daemon))
            time.sleep(chance.uniform(0.0, 1.0))
            state = daemon.state()
            in_flight = state["event_log"]["waiting"] + 1
            shown += [identity(event) for event in state["events"][in_flight:]]
            daemon.process.kill()
    with Daemon(tmp_path, "camera.source=demo") as daemon:
        assert daemon.state()["version"]
        assert daemon.stop() == 0
    logged = [identity(event) for event in daemon.events()]
    assert len(set(logged)) == len(logged)
    assert set(shown) <= set(logged)
