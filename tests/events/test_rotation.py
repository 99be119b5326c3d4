"""Tests rotated files: when, how many, how large, and after an interrupted step."""

from __future__ import annotations

import gzip
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_daemon.core.slots import Backlog
from edge_daemon.events.archive import Retention
from edge_daemon.events.events import Event
from edge_daemon.events.ram import RamLog
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.events.writer import EventLog


def line(n: int, at: datetime | None = None) -> bytes:
    time_at = (at or datetime.now(UTC)).isoformat()
    return json.dumps({"n": n, "time": time_at, "text": "x" * 100}).encode() + b"\n"


def tidied(log: RotatingLog) -> None:
    while log.tidy():
        pass


def contents(folder: Path) -> list[int]:
    """Return the numbers of all lines, oldest file first, the growing one last."""
    files = [*sorted(folder.glob("events.0*")), folder / "events.jsonl"]
    texts = [
        gzip.decompress(f.read_bytes()) if f.suffix == ".gz" else f.read_bytes() for f in files
    ]
    return [json.loads(each)["n"] for text in texts for each in text.splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_full_file_is_put_aside_and_compressed(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "events.jsonl", LogPolicy(rotate_bytes=1000))
    for n in range(20):
        log.append(line(n))
    assert (tmp_path / "events.000001.jsonl").stat().st_size <= 1000
    tidied(log)
    log.close()
    assert contents(tmp_path) == list(range(20))
    assert [name for name in names(tmp_path) if not name.endswith(".gz")] == ["events.jsonl"]
    assert "events.000001.jsonl.gz" in names(tmp_path)


def test_all_files_together_stay_below_the_limit(tmp_path: Path) -> None:
    policy = LogPolicy(rotate_bytes=5000, keep_bytes=12_000)
    log = RotatingLog(tmp_path / "events.jsonl", policy)
    for n in range(400):
        log.append(line(n))
        if n % 7 == 0:
            log.tidy()
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= policy.keep_bytes
    log.close()
    kept = contents(tmp_path)
    assert kept == list(range(kept[0], 400))
    assert kept[0] > 0


def test_an_old_file_is_put_aside_though_it_is_small(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "events.jsonl", LogPolicy(rotate_s=3600))
    log.append(line(1, datetime.now(UTC) - timedelta(hours=2)))
    log.reopen()
    log.append(line(2))
    log.append(line(3))
    log.close()
    assert names(tmp_path) == ["events.000001.jsonl", "events.jsonl"]
    assert contents(tmp_path) == [1, 2, 3]


def test_files_put_aside_are_deleted_at_their_age(tmp_path: Path) -> None:
    old = tmp_path / "events.000001.jsonl.gz"
    old.write_bytes(gzip.compress(line(1)))
    os.utime(old, (time.time() - 90_000,) * 2)
    (tmp_path / "events.000002.jsonl").write_bytes(line(2))
    log = RotatingLog(tmp_path / "events.jsonl", LogPolicy(keep_s=86_400))
    log.append(line(3))
    tidied(log)
    log.close()
    assert contents(tmp_path) == [2, 3]


def test_numbers_go_on_after_a_restart_and_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("events.000041.jsonl.gz", "events.jsonl.1", "other.000001.jsonl", "notes"):
        (tmp_path / name).write_bytes(b"")
    log = RotatingLog(tmp_path / "events.jsonl", LogPolicy(rotate_bytes=200, keep_bytes=1500))
    for n in range(50):
        log.append(line(n))
    log.close()
    assert "events.000041.jsonl.gz" not in names(tmp_path)
    assert {"events.jsonl.1", "other.000001.jsonl", "notes", "events.jsonl"} <= set(names(tmp_path))
    assert min(name for name in names(tmp_path) if name.startswith("events.0")) > "events.000041"


def test_an_interrupted_compression_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "events.000001.jsonl").write_bytes(line(1))
    (tmp_path / "events.000001.jsonl.gz.part").write_bytes(b"half")
    (tmp_path / "events.000002.jsonl").write_bytes(line(2))
    (tmp_path / "events.000002.jsonl.gz").write_bytes(gzip.compress(line(2)))
    log = RotatingLog(tmp_path / "events.jsonl", LogPolicy())
    log.append(line(3))
    tidied(log)
    log.close()
    assert contents(tmp_path) == [1, 2, 3]
    assert names(tmp_path) == ["events.000001.jsonl.gz", "events.000002.jsonl.gz", "events.jsonl"]


def test_prune_takes_the_oldest_first(tmp_path: Path) -> None:
    files = [tmp_path / str(n) for n in range(5)]
    for file in files:
        file.write_bytes(bytes(10))
    assert Retention(lambda: files).prune(keep_bytes=25, keep_s=0) == 3
    assert names(tmp_path) == ["3", "4"]


@pytest.mark.parametrize("flushed", range(4))
def test_what_was_in_ram_comes_to_the_disk_once(tmp_path: Path, flushed: int) -> None:
    """As after a kill: in the middle of a flush, the disk has the first of the lines already."""
    ram, disk = tmp_path / "ram", tmp_path / "disk"
    for folder in (ram, disk):
        folder.mkdir()
    lines = [line(n) for n in range(1, 4)]
    (ram / "events.jsonl").write_bytes(b"".join(lines))
    torn = lines[flushed][:20] if flushed < 3 else b""
    (disk / "events.jsonl").write_bytes(line(0) + b"".join(lines[:flushed]) + torn)
    log = RamLog(ram, RotatingLog(disk / "events.jsonl", LogPolicy()))
    log.open()
    log.append(line(4))
    assert contents(disk) == [0, 1, 2, 3]
    log.close()
    assert contents(disk) == [0, 1, 2, 3, 4]
    assert (ram / "events.jsonl").read_bytes() == b""


def test_ram_is_flushed_in_time_and_when_it_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk" / "events.jsonl"
    log = RamLog(tmp_path / "ram", RotatingLog(disk, LogPolicy(rotate_bytes=1000, flush_s=3600)))
    log.open()
    log.append(line(0))
    log.sync()
    assert disk.read_bytes() == b""
    log.reopen()
    assert disk.read_bytes().count(b"\n") == 1
    for n in range(1, 40):
        log.append(line(n))
        assert (tmp_path / "ram" / "events.jsonl").stat().st_size <= 1000
    log.close()
    assert contents(disk.parent) == list(range(40))


def test_a_log_with_an_event_every_moment_is_compressed_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    backlog: Backlog[Event] = Backlog(10_000)
    log = EventLog(path, RotatingLog(path, LogPolicy(rotate_bytes=50_000)), backlog)
    for n in range(2_000):  # none of which the log ever has to wait for
        backlog.put(Event(datetime.now(UTC), "n", {"n": n, "text": "x" * 200}))
    backlog.close()
    log.run()
    plain = [file for file in tmp_path.glob("events.0*") if file.suffix != ".gz"]
    assert len(list(tmp_path.glob("events.0*.gz"))) >= 7
    assert len(plain) <= 1
    assert contents(tmp_path) == list(range(2_000))


def test_a_file_that_is_too_large_is_compressed_before_it_is_judged(tmp_path: Path) -> None:
    """As after keep_mb was lowered, or when the daemon takes over a log without limits."""
    lines = [line(n) for n in range(1_000)]
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    log = RotatingLog(tmp_path / "events.jsonl", LogPolicy(rotate_bytes=20_000, keep_bytes=60_000))
    log.append(line(1_000))
    assert contents(tmp_path) == list(range(1_001))
    tidied(log)
    log.close()
    assert contents(tmp_path) == list(range(1_001))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 60_000


def test_the_age_of_a_rotated_file_counts_from_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(1, datetime.now(UTC) - timedelta(days=40)))
    os.utime(path, (time.time() - 40 * 86_400,) * 2)
    log = RotatingLog(path, LogPolicy(rotate_s=3600, keep_s=30 * 86_400))
    log.append(line(2))
    tidied(log)
    log.close()
    assert contents(tmp_path) == [1, 2]
