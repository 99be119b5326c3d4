"""Tests pictures of events: only if enabled, only of the chosen events, for a limited time."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.daemon import Daemon

from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Backlog
from edge_daemon.core.types import Frame, View
from edge_daemon.events.events import Event
from edge_daemon.events.snapshots import Shot, SnapshotPolicy, SnapshotWriter

AT = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
IMAGE_SIGNS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM")


def shots(count: int) -> Backlog[Shot]:
    """Return a closed backlog of so many shots of noise, a millisecond apart."""
    backlog: Backlog[Shot] = Backlog(100)
    bgr = np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    for n in range(count):
        at = AT + timedelta(milliseconds=n)
        view = View(Frame(n + 1, Picture(bgr), 0.0, at))
        backlog.put(Shot(Event(at, "face_start", {"face": n}), view))
    backlog.close()
    return backlog


def test_a_shot_is_a_picture_for_the_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    writer = SnapshotWriter(folder, SnapshotPolicy(keep_bytes=1e6, keep_s=0), shots(1))
    writer.run()
    (file,) = folder.iterdir()
    assert file.name == "20260131T120000.250Z-face0-face_start.jpg"
    picture = cv2.imread(str(file))
    assert picture is not None
    assert picture.shape == (120, 160, 3)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (writer.written, writer.failed, writer.reason) == (1, 0, "")


def test_only_so_many_are_kept_and_the_newest_of_them(tmp_path: Path) -> None:
    SnapshotWriter(tmp_path, SnapshotPolicy(keep_bytes=1e6, keep_s=0), shots(1)).run()
    size = next(tmp_path.iterdir()).stat().st_size
    SnapshotWriter(tmp_path, SnapshotPolicy(keep_bytes=3.5 * size, keep_s=0), shots(10)).run()
    assert sorted(f.name.split("-")[1] for f in tmp_path.iterdir()) == ["face7", "face8", "face9"]


def test_old_ones_are_deleted_and_other_files_left_alone(tmp_path: Path) -> None:
    old, other = tmp_path / "20250101T000000.000Z-face1-face_start.jpg", tmp_path / "me.jpg"
    for file in (old, other):
        file.write_bytes(b"x")
        os.utime(file, (time.time() - 90_000,) * 2)
    SnapshotWriter(tmp_path, SnapshotPolicy(keep_bytes=1e6, keep_s=86_400), shots(1)).run()
    assert not old.exists()
    assert other.exists()


def test_a_folder_that_cannot_be_written_costs_the_pictures_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / "file" / "snapshots"
    writer = SnapshotWriter(folder, SnapshotPolicy(keep_bytes=1e6, keep_s=0), shots(3))
    writer.run()
    assert (writer.written, writer.failed) == (0, 3)
    assert writer.reason.endswith("it is not a folder; set snapshots.path to one")
    assert caplog.text.count("it is not a folder") == 1


def pictures(folder: Path) -> Iterator[Path]:
    """Return the files below `folder` that contain a picture, with any name."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return (file for file in files if file.read_bytes().startswith(IMAGE_SIGNS))


@pytest.mark.usefixtures("blazeface_dir")
@pytest.mark.parametrize("enabled", [False, True])
def test_the_daemon_writes_pictures_only_when_asked_to(tmp_path: Path, enabled: bool) -> None:
    settings = (
        "camera.source=demo",
        f"snapshots.path={tmp_path / 'shots'}",
        f"snapshots.enabled={str(enabled).lower()}",
        "snapshots.types=[face_start]",
    )
    with Daemon(tmp_path, *settings) as daemon:
        daemon.until(lambda: any(e["type"] == "expression_start" for e in daemon.events()))
        if enabled:
            daemon.until(lambda: daemon.state()["snapshots"]["written"] >= 1)
        assert daemon.get("/snapshot.jpg")
        assert daemon.stop() == 0
    found = [file.name for file in pictures(tmp_path)]
    assert bool(found) == enabled
    assert all(name.endswith("-face_start.jpg") for name in found)
