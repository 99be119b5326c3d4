"""Tests what the doctor finds where the account lacks a right."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.doctor import CONFIG

from edge_daemon.doctor.camera import examine_cameras
from edge_daemon.doctor.finding import Finding
from edge_daemon.doctor.machine import (
    examine_log,
)

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Drop root's rights, where the tests run with them."""
    groups = os.getgroups()
    if os.getuid() != 0:
        yield
        return
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can read; pytest's folders are only root's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def node(folder: Path, mode: int, gid: int | None = None) -> Path:
    """Make a video device without a driver; a plain file where that needs root."""
    path = folder / "video0"
    try:
        os.mknod(path, stat.S_IFCHR, os.makedev(81, 200))
    except PermissionError:
        path.touch()
    if gid is not None:
        os.chown(path, -1, gid)
    path.chmod(mode)
    return path


def cameras(path: Path, source: str) -> Finding:
    found = list(examine_cameras([path], [], source=source, width=640, height=480))
    assert len(found) == 1
    return found[0]


class TestPermissions:
    def test_a_node_for_nobody(self, open_folder: Path) -> None:
        path = node(open_folder, 0o000)
        with as_nobody():
            finding = cameras(path, str(path))
        assert (finding.check, finding.verdict) == ("permission", "error")
        assert finding.remedy == f"sudo chgrp video {path} && sudo chmod g+rw {path}"

    @pytest.mark.skipif(os.getuid() != 0, reason="NOT TESTED: giving a node to a group takes root")
    def test_a_node_for_a_group_one_is_not_in(self, open_folder: Path) -> None:
        path = node(open_folder, 0o660, gid=44)  # video on Debian
        with as_nobody():
            needed, not_needed = cameras(path, "auto"), cameras(path, "demo")
        assert (needed.verdict, not_needed.verdict) == ("error", "warning")
        assert "nobody is not a member" in needed.sentence
        assert needed.remedy.startswith("sudo usermod -aG ")

    def test_a_node_without_a_camera_is_none(self, open_folder: Path) -> None:
        finding = cameras(node(open_folder, 0o666), "auto")
        assert (finding.verdict, finding.sentence) == (
            "ok",
            "no camera is connected to this machine",
        )

    def test_a_log_that_cannot_be_written(self, open_folder: Path) -> None:
        open_folder.chmod(0o555)
        path = open_folder / "logs" / "events.jsonl"
        with as_nobody():
            finding = examine_log(path, keep_bytes=1e6, config_file=CONFIG)
        assert finding.verdict == "error"
        assert finding.remedy.endswith(f" {path.parent}")
        assert finding.remedy.startswith("sudo install -d -o ")
