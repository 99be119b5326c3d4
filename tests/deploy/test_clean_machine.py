"""The README's commands and every way to install, on a clean Debian 12 and 13.

`make test-clean` runs them and prints the times. The containers have no network: pip finds in a
folder what it would download, so the times are those without the download.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from support.device import (
    BUNDLE,
    CHECKOUT,
    CONFIG,
    Device,
    booted,
    bring_bundle,
    bring_checkout,
    made,
)
from support.machine import timed
from support.paths import ROOT

from deploy.wheel import SETUPTOOLS, wheel

pytestmark = pytest.mark.long

README = (ROOT / "README.md").read_text()
EXTRA = "/root/wheels"  # what `make run` and `pip install` want besides the daemon's wheels


class Debian(NamedTuple):
    """A release of Debian and its Python."""

    name: str
    python: str


@pytest.fixture(
    scope="module",
    params=[Debian("bookworm", "3.11"), Debian("trixie", "3.13")],
    ids=lambda each: each.name,
)
def debian(request: pytest.FixtureRequest) -> Debian:
    chosen: Debian = request.param
    return chosen


@pytest.fixture(scope="module")
def device(debian: Debian, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with booted(tmp_path_factory.mktemp(debian.name), debian.name) as container:
        bring_checkout(container)
        bring_bundle(container, debian.python)
        extra = container.root / EXTRA[1:]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--dest={extra}"]
        subprocess.run([*pip, SETUPTOOLS, "packaging"], check=True)
        if os.environ.get("MIEN_RELEASED"):
            shutil.copy(next(ROOT.glob("dist/*.whl")), extra)
        else:
            wheel(extra)
        with (container.root / "etc/pip.conf").open("a") as settings:
            settings.write(f"    {EXTRA}\n")
        yield container


def commands(heading: str) -> list[str]:
    """Return the commands of a section of the README, without comments."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [line.partition("  #")[0].strip() for line in re.findall(r"^ {4}(.+)$", section, re.M)]


def until_it_answers(device: Device, start: str, cwd: str, port: int = 8080) -> None:
    """Run a command that starts a daemon, until its page answers; then press Ctrl-C."""
    unit = "first-try"
    words = ["systemd-run", f"--unit={unit}", f"--working-directory={cwd}", "--quiet"]
    device.run(*words, "--property=KillSignal=SIGINT", "sh", "-c", start)
    page = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/state').read()"

    def answers() -> bool:
        state = device.show("ActiveState", unit)
        journal = device.run("journalctl", "--output=cat", f"--unit={unit}")
        assert state == "active", journal
        return bool(device.attempt("python3", "-c", page).returncode == 0)

    try:
        device.deadline_s = 600
        device.until(answers, "the page answers")
    finally:
        device.attempt("systemctl", "stop", unit)


def test_the_readmes_first_command(device: Device) -> None:
    assert commands("Try it in a minute")[0] == "make run"
    with timed("make run until the page answers"):
        until_it_answers(device, "make run", CHECKOUT)
    with timed("make run again"):
        until_it_answers(device, "make run", CHECKOUT)


def test_the_readmes_installation(device: Device) -> None:
    install, doctor, status, edit, upgrade = commands("On a Raspberry Pi")
    with timed(install):
        said = device.shell(install, cwd=CHECKOUT)
    device.token = re.search(r"token=(\S+)", said)[1]  # type: ignore[index]
    device.until(lambda: device.state()["faces"], "it has faces")
    examined = device.attempt("sh", "-c", doctor)
    assert examined.returncode in {0, 1}, examined.stdout  # nothing sets the clock here
    assert "active (running)" in device.shell(status)
    assert edit == f"sudo nano {CONFIG}"
    device.edit(r"^  quality: 80", "  quality: 70")
    device.shell("sudo systemctl reload edge-daemon")
    device.until(lambda: "changed: stream.quality" in device.journal(), "it reloads")
    pull, _, make = upgrade.partition(" && ")
    assert pull == "git pull"
    with timed(make):
        device.shell(make, cwd=CHECKOUT)
    for path in ("man/man1/mien.1", "bash-completion/completions/mien"):
        assert device.run("cat", f"/usr/local/share/{path}")
    device.shell("sudo make uninstall", cwd=CHECKOUT)


def test_the_bundle(device: Device) -> None:
    with timed("./install from the bundle"):
        said = device.shell("cd mien-* && sudo ./install", cwd=BUNDLE)
    device.token = re.search(r"token=(\S+)", said)[1]  # type: ignore[index]
    device.until(lambda: device.state()["faces"], "it has faces")
    (unpacked,) = (device.root / BUNDLE[1:]).iterdir()
    assert (unpacked / "sbom.cdx.json").exists()
    device.shell("sudo python3 -m deploy uninstall", cwd="/opt/mien/current")


def test_the_debian_package(device: Device, debian: Debian) -> None:
    package = made("deb", debian.python)
    shutil.copy(package, device.root / "root")
    with timed("dpkg --install"):
        said = device.run("dpkg", "--install", f"/root/{package.name}")
    device.token = re.search(r"token=(\S+)", said)[1]  # type: ignore[index]
    device.until(lambda: device.state()["faces"], "it has faces")
    assert device.run("cat", "/usr/share/bash-completion/completions/mien")
    device.run("dpkg", "--purge", "mien")


def test_the_wheel(device: Device) -> None:
    """`pip install mien` gets the daemon, its models and nothing of training."""
    device.run("python3", "-m", "venv", "/root/venv")
    with timed("pip install mien"):
        device.run("/root/venv/bin/pip", "install", "--quiet", "mien")
    packages = device.run("/root/venv/bin/pip", "list")
    assert "flask" in packages.lower()
    assert not re.search("keras|tensorflow|pytest", packages, re.I)
    assert "runtime: ai-edge-litert" in device.run("/root/venv/bin/mien", "--version")
    assert (device.root / "root/venv/share/man/man1/mien.1").exists()
    with timed("mien run until the page answers"):
        until_it_answers(device, "/root/venv/bin/mien run --set camera.source=demo", "/root/venv")
