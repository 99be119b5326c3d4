"""Builds each file of a release twice and compares all bytes: `make test-reproducible`.

That target also runs the conversion's own test, which compares two models of one export.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.bundle import bundle
from deploy.deb import TOOLS, package
from deploy.wheel import wheel

pytestmark = pytest.mark.long

BUILDS: dict[str, Callable[[Path], Path]] = {
    "wheel": wheel,
    "bundle": lambda folder: bundle(folder, "aarch64", "3.13"),
    "deb": lambda folder: package(folder, "aarch64", "3.13"),
}


@pytest.mark.parametrize("what", BUILDS)
def test_two_builds_are_alike(
    what: str, tmp_path: Path, blazeface_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "deb" and not all(map(shutil.which, TOOLS)):
        pytest.skip("NOT TESTED: dpkg-buildpackage and dh not found (apt install debhelper)")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    first, second = (BUILDS[what](tmp_path / name) for name in ("1", "2"))
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
