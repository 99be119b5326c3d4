"""The unit: accepted by systemd, and what the daemon tells it over the notify socket."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from edge_daemon.supervisor import Supervisor

UNIT = ROOT / "systemd" / "edge-daemon.service"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="NOT TESTED: systemd-analyze is not installed"
)
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    # Only the path of the interpreter is this machine's.
    text = UNIT.read_text().replace("/opt/mien/.venv/edge/bin/python", sys.executable)
    unit = tmp_path / UNIT.name
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    about_unit = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert done.returncode == 0, done.stderr
    assert not about_unit


def test_systemd_hears_of_readiness_progress_and_stop(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        supervisor = Supervisor({"NOTIFY_SOCKET": address})
        supervisor.ready()
        supervisor.alive("ok, 15.0 frames/s")
        supervisor.reloading()
        supervisor.stopping()
        ready, alive, reloading, stopping = (systemd.recv(1000).decode() for _ in range(4))
    assert (ready, stopping) == ("READY=1", "STOPPING=1")
    assert alive == "WATCHDOG=1\nSTATUS=ok, 15.0 frames/s"
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)


def test_the_units_reload_is_the_daemons() -> None:
    assert "ExecReload=/bin/kill -HUP $MAINPID" in UNIT.read_text()


def test_without_systemd_nothing_is_sent() -> None:
    supervisor = Supervisor({})
    supervisor.ready()
    supervisor.alive("ok")
