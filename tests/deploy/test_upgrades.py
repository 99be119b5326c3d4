"""Upgrades, removes and installs the service in every way in a booted Debian container.

The steps depend on each other and run in this order: `make test-systemd` stops at the first that
fails and prints how long each took. The container has no network: pip finds in a folder what it
would otherwise download.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.device import (
    BUNDLE,
    CHECKOUT,
    CONFIG,
    Device,
    fresh_device,
    made,
)
from support.machine import timed

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Yield a device with the service, and a comment and a second camera of its user."""
    with fresh_device(tmp_path_factory.mktemp("device")) as container:
        with timed("make install"):
            container.token = token_in(container.shell("sudo make install", cwd=CHECKOUT))
        container.edit(r"^  source: auto.*", "  source: auto      # a comment of my own")
        container.shell("sudo make camera NAME=door SOURCE=demo PORT=8081", cwd=CHECKOUT)
        container.until(lambda: container.state(port=8081)["faces"], "both have faces")
        yield container


def token_in(said: str) -> str:
    """Return the token of the address that an installation prints."""
    found = re.search(r"http://\S+/\?token=(\S+)", said)
    assert found, said
    return found[1]


def changed_checkout(device: Device, change: Callable[[Path], None]) -> str:
    """Copy the checkout and change its code; return the folder."""
    folder = "/root/changed"
    shutil.rmtree(device.root / folder[1:], ignore_errors=True)
    copy = shutil.copytree(device.root / CHECKOUT[1:], device.root / folder[1:])
    change(Path(copy))
    return folder


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_an_upgrade_keeps_the_configuration_and_names_new_keys(device: Device) -> None:
    def newer(folder: Path) -> None:
        replace(folder / "edge_daemon/__init__.py", "__version__ = ", '__version__ = "9.1.0"  # ')
        replace(
            folder / "config.yaml", "  quality: 80 ", "  color: true   # in color\n  quality: 80 "
        )
        key = '    color: bool = Field(True, description="In color.")\n'
        replace(
            folder / "edge_daemon/config/sections.py",
            "    quality: Annotated",
            f"{key}    quality: Annotated",
        )

    config = (device.root / CONFIG[1:]).read_text()
    with timed("make upgrade"):
        said = device.shell("sudo make upgrade", cwd=changed_checkout(device, newer))
    assert "new setting stream.color" in said
    assert "token=" not in said
    assert (device.root / CONFIG[1:]).read_text() == config
    assert device.state()["version"] == device.state(port=8081)["version"] == "9.1.0"


def test_a_failed_upgrade_goes_back_to_what_ran(device: Device) -> None:
    def broken(folder: Path) -> None:
        replace(folder / "edge_daemon/__init__.py", "__version__ = ", '__version__ = "9.2.0"  # ')
        replace(
            folder / "edge_daemon/app.py", "        loop.run(signals, stop)", "        return 3"
        )

    folder = changed_checkout(device, broken)
    with timed("make upgrade to a release that does not run, and back"):
        done = device.attempt("make", "-C", folder, "upgrade")
    assert done.returncode != 0
    assert re.search(r"went back to 9\.1\.0-\w+, which runs", done.stderr), done.stderr
    assert device.state()["version"] == device.state(port=8081)["version"] == "9.1.0"


def test_an_upgrade_that_refuses_the_configuration_changes_nothing(device: Device) -> None:
    def fewer_keys(folder: Path) -> None:
        replace(
            folder / "edge_daemon/config/sections.py",
            "    quality: Annotated",
            "    grade: Annotated",
        )

    pid = device.show("MainPID")
    done = device.attempt("make", "-C", changed_checkout(device, fewer_keys), "upgrade")
    assert done.returncode != 0
    assert f"{CONFIG}, line" in done.stderr
    assert device.show("MainPID") == pid


def nothing_left(device: Device) -> None:
    assert device.files() - device.before <= {"/etc/pip.conf", "/var/log/dpkg.log"}  # not ours
    unseen = ["(", "-path", "/root", "-o", "-path", "/proc", "-o", "-path", "/sys", ")", "-prune"]
    named = ["(", "-name", "*mien*", "-o", "-name", "*edge-daemon*", ")", "-print"]
    assert not device.run("find", "/", *unseen, "-o", *named)
    assert device.attempt("id", "mien").returncode != 0
    assert "edge-daemon" not in device.run("systemctl", "list-unit-files")
    assert not device.run("systemctl", "--failed", "--no-legend")


def test_uninstalling_leaves_nothing(device: Device) -> None:
    with timed("make uninstall"):
        device.shell("sudo make uninstall", cwd=CHECKOUT)
    nothing_left(device)


def test_a_bundle_installs_without_a_network(device: Device) -> None:
    (device.root / "etc/pip.conf").write_text("[global]\nno-index = true\n")
    with timed("./install from the bundle"):
        said = device.shell("cd mien-* && sudo ./install", cwd=BUNDLE)
    device.token = token_in(said)
    device.until(lambda: device.state()["faces"], "it has faces")
    device.shell("sudo python3 -m deploy uninstall", cwd="/opt/mien/current")
    nothing_left(device)


def test_the_debian_package_installs_upgrades_and_is_purged(device: Device) -> None:
    if missing := [
        tool for tool in ("dpkg-buildpackage", "dh", "lintian") if not shutil.which(tool)
    ]:
        pytest.skip(
            f"NOT TESTED: {', '.join(missing)} not found (apt install dpkg-dev debhelper lintian)"
        )
    package = made("deb")
    with timed("lintian"):
        subprocess.run(["lintian", "--fail-on", "error", package], check=True, timeout=300)
    shutil.copy(package, device.root / "root")
    with timed("dpkg --install"):
        said = device.run("dpkg", "--install", f"/root/{package.name}")
    device.token = token_in(said)
    device.until(lambda: device.state()["faces"], "it has faces")
    pid = device.show("MainPID")
    device.run("dpkg", "--install", f"/root/{package.name}")
    assert device.show("MainPID") == pid, "the same again changes nothing"
    refused = device.attempt("make", "-C", CHECKOUT, "install")
    assert "Mien is installed as a package" in refused.stderr
    with timed("dpkg --purge"):
        device.run("dpkg", "--purge", "mien")
    nothing_left(device)


def test_a_folder_takes_the_place_of_the_machine(device: Device) -> None:
    with timed("make install DESTDIR="):
        device.shell("cd mien-* && python3 -m deploy --destdir /root/image install", cwd=BUNDLE)
    image = device.root / "root/image"
    wanted = image / "etc/systemd/system/multi-user.target.wants/edge-daemon.service"
    assert wanted.is_symlink()
    assert (image / "opt/mien/current").readlink().parts[0] == "releases"
    nothing_left(device)
