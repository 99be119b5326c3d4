"""A booted container as a device with the service, a checkout and a bundle."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support.container import CannotBoot, Container, debian, why_not
from support.machine import timed
from support.paths import ROOT

CONFIG = "/etc/mien/config.yaml"
CHECKOUT, BUNDLE = "/root/checkout", "/root/bundle"
PASSING = (
    *("/proc", "/sys", "/run", "/tmp", "/root"),  # noqa: S108
    *("/var/cache", "/var/lib/dpkg", "/var/lib/systemd", "/var/log/journal", "/var/tmp"),  # noqa: S108
)


class Device(Container):
    """The container as a device with the service."""

    before: frozenset[str] = frozenset()  # the files before the installation

    def files(self) -> frozenset[str]:
        """Return every file except those that the system's own services write."""
        words = [word for folder in PASSING for word in ("-not", "-path", f"{folder}/*")]
        return frozenset(self.run("find", "/", "-xdev", *words).splitlines())

    def edit(self, pattern: str, by: str) -> None:
        """Change one place in the configuration."""
        path = self.root / CONFIG[1:]
        text, count = re.subn(pattern, by, path.read_text(), count=1, flags=re.M)
        assert count == 1, pattern
        path.write_text(text)


@contextmanager
def booted(folder: Path, release: str = "bookworm") -> Iterator[Device]:
    """Boot a device with a release of Debian; skip the test if that is impossible here."""
    if reason := why_not():
        pytest.skip(f"NOT TESTED: {reason}")
    with ExitStack() as stack:
        try:
            device = stack.enter_context(Device(debian(ROOT / "build/containers", release), folder))
            print(f"\n  {release} booted: {device.until_booted():.1f} s", end="")
        except CannotBoot as error:
            pytest.skip(f"NOT TESTED: no container boots here: {error}")
        yield device


@contextmanager
def fresh_device(folder: Path) -> Iterator[Device]:
    """Boot a device that has a checkout and a bundle, and nothing installed."""
    with booted(folder) as device:
        bring_checkout(device)
        bring_bundle(device)
        device.before = device.files()
        yield device


def bring_checkout(device: Device) -> None:
    """Copy the tracked files and BlazeFace, as in a clone after `make setup`."""
    listing = [
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]
    names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split("\0")
    models = [str(path.relative_to(ROOT)) for path in ROOT.glob("models/face_*.tflite")]
    for name in filter(None, [*names, *models]):
        if (ROOT / name).is_file():
            target = device.root / CHECKOUT[1:] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)


def made(target: str, python: str = "3.11") -> Path:
    """Run `make bundle` or `make deb` for this processor and a Python; return the file.

    With MIEN_RELEASED (`make release`) it is the one in dist/.
    """
    if os.environ.get("MIEN_RELEASED"):
        name = {"bundle": f"mien-*-x86_64-py{python}.tar.gz"}
        name |= {"deb": f"mien_*py{python.replace('.', '')}_amd64.deb"}
        (released,) = (ROOT / "dist").glob(name[target])
        return released
    make = ["make", "--silent", target, "ARCH=x86_64", f"PYTHON={python}"]
    with timed(f"make {target}"):
        done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ROOT / done.stdout.splitlines()[-1]


def bring_bundle(device: Device, python: str = "3.11") -> None:
    """Copy the bundle; pip finds no other wheels than those in it."""
    packed = made("bundle", python)
    (device.root / BUNDLE[1:]).mkdir()
    subprocess.run(["tar", "xf", packed, "-C", device.root / BUNDLE[1:]], check=True)
    (unpacked,) = (device.root / BUNDLE[1:]).iterdir()
    wheels = f"{BUNDLE}/{unpacked.name}/wheels"
    (device.root / "etc/pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
