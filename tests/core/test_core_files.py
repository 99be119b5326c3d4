"""Reading regular files, replacing files atomically, and locks between processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

from edge_daemon.core.files import FileLock, LockTaken, read_file, replace_file, replacing

HOLDER = """
import sys
from pathlib import Path
from edge_daemon.core.files import FileLock
lock = FileLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_file_is_replaced_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    replace_file(path, b"new", mode=0o600)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_regular_files_of_the_allowed_size_are_read(tmp_path: Path) -> None:
    path, fifo = tmp_path / "a", tmp_path / "fifo"
    path.write_bytes(b"12345")
    os.mkfifo(fifo)
    assert read_file(path, max_bytes=5) == b"12345"
    for wrong, reason in (
        (fifo, "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "missing", "No such file"),
    ):
        with pytest.raises(OSError, match=reason):
            read_file(wrong, max_bytes=5)
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_file(path, max_bytes=4)


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    words = [sys.executable, "-c", HOLDER, str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(LockTaken) as taken:
            FileLock(path)
        assert taken.value.holder.startswith(f"process {holder.pid}, `{sys.executable} -c ")
        holder.kill()
        holder.wait()
    lock = FileLock(path)
    with pytest.raises(LockTaken, match=f"process {os.getpid()}"):
        FileLock(path)
    lock.release()
    FileLock(path).release()
