"""The units are accepted by systemd, and the daemon notifies it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

from benchmarks.exposure import rows
from edge_daemon.systemd import Supervisor

UNITS = ROOT / "systemd"
UNIT, TEMPLATE = UNITS / "edge-daemon.service", UNITS / "edge-daemon@.service"

analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="NOT TESTED: systemd-analyze is not installed"
)


@analyze
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in UNITS.glob("*.service"):
        # The units are unchanged except for the path of the interpreter.
        text = unit.read_text().replace("/opt/mien/current/venv/bin/python", sys.executable)
        (tmp_path / unit.name.replace("@", "@door")).write_text(text)
    shutil.copy(UNITS / "mien-camera.target", tmp_path)
    names = sorted(tmp_path.iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, names)],
        capture_output=True,
        text=True,
        check=False,
    )
    about_units = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert len(names) == 3
    assert done.returncode == 0, done.stderr
    assert not about_units


@analyze
@pytest.mark.parametrize("unit", [UNIT, TEMPLATE], ids=lambda unit: unit.name)
def test_the_units_are_confined(unit: Path, tmp_path: Path) -> None:
    target = tmp_path / unit.name.replace("@", "@door")
    shutil.copy(unit, target)
    # The threshold is ten times the exposure that is displayed.
    words = ["systemd-analyze", "security", "--offline=yes", "--threshold=12", str(target)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def same_systemd() -> None:
    """Skips where systemd is another version than that of the documentation's figures."""
    report = (ROOT / "benchmarks/exposure.md").read_text()
    (version,) = re.findall(r"systemd (\d+) ", report)
    known = subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True, check=True
    )
    if f"systemd {version} " not in known.stdout:
        pytest.skip(
            f"NOT TESTED: the report was made by systemd {version}, which weighs differently"
        )


@analyze
@pytest.mark.usefixtures("same_systemd")
def test_what_stays_open_is_in_the_documentation_with_its_reason() -> None:
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNIT)]
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    still_open = re.findall(r"^✗ (\S+) .* (\d\.\d)\s*$", done.stdout, re.M)
    table = (ROOT / "docs/install.md").read_text().replace("\\|", "|")
    explained = re.findall(r"^\| `(\S+=\S*)` \| (\d\.\d) \| ", table, re.M)
    assert still_open
    assert sorted(explained) == sorted(still_open)


@analyze
@pytest.mark.usefixtures("same_systemd")
def test_the_exposures_of_the_documentation_are_the_units() -> None:
    """Otherwise run `python -m benchmarks.exposure`."""
    report = (ROOT / "benchmarks/exposure.md").read_text()
    stated = {
        name: float(value) for name, value in re.findall(r"^\| (Mien.*) \| (.+) \|", report, re.M)
    }
    assert stated == {name: value for value, name in rows([]) if name.startswith("Mien")}


def test_the_template_is_the_unit_with_a_name() -> None:
    def directives(unit: Path) -> list[str]:
        return [line for line in unit.read_text().splitlines() if "=" in line and line[0] != "#"]

    named = [
        line.replace(" the camera %i", " a camera")
        .replace("/etc/mien/%i.yaml", "/etc/mien/config.yaml")
        .replace("mien/%i", "mien")
        .replace("mien-%i", "mien")
        for line in directives(TEMPLATE)
    ]
    assert named == directives(UNIT)


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
