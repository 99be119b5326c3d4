"""Tests the event log on real disks: complete lines, repair, and a disk that fills or fails."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.daemon import Daemon
from support.waiting import until

from edge_daemon.core.slots import Backlog
from edge_daemon.events.events import Event
from edge_daemon.events.rotating import LogPolicy, RotatingLog, repair_last_line
from edge_daemon.events.stream import StreamLog, is_stream
from edge_daemon.events.writer import EventLog, EventLogError

AT = datetime(2026, 1, 31, tzinfo=UTC)
DEADLINE_S = 30.0


def logger(path: Path, backlog: Backlog[Event]) -> EventLog:
    store = StreamLog(str(path)) if is_stream(str(path)) else RotatingLog(path, LogPolicy())
    return EventLog(path, store, backlog)


def write(path: Path, events: list[Event]) -> None:
    backlog: Backlog[Event] = Backlog(100)
    log = logger(path, backlog)
    for event in events:
        backlog.put(event)
    backlog.close()
    log.run()


@contextmanager
def running(path: Path, backlog: Backlog[Event]) -> Iterator[EventLog]:
    """The log in its thread, which must end when its backlog does."""
    log = logger(path, backlog)
    thread = threading.Thread(target=log.run)
    thread.start()
    try:
        yield log
    finally:
        backlog.close()
        thread.join(DEADLINE_S)
    assert not thread.is_alive()


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_text().splitlines()]


def test_a_line_an_event_in_order_after_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    write(path, [Event(AT, "a", {"n": 1})])
    write(path, [Event(AT, "b", {"n": 2}), Event(AT, "c", {"n": 3})])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["type"], line["n"]) for line in lines] == [("a", 1), ("b", 2), ("c", 3)]


def test_a_line_is_on_disk_before_the_next_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    backlog: Backlog[Event] = Backlog(100)
    with running(path, backlog):
        backlog.put(Event(AT, "a", {"n": 1}))
        until(lambda: path.read_bytes().endswith(b"}\n"))
    assert numbers(path) == [1]


@pytest.mark.parametrize(
    ("content", "expected", "cut"),
    [
        (b"", b"", 0),
        (b'{"a":1}\n', b'{"a":1}\n', 0),
        (b'{"a":1}\n{"b":', b'{"a":1}\n', 5),
        (b'{"a":1}\n{"b":2}', b'{"a":1}\n{"b":2}\n', 0),
        (b'{"torn', b"", 6),
        (b"x\n" * 5000 + b"\0" * 9000, b"x\n" * 5000, 9000),
    ],
)
def test_a_torn_last_line_is_repaired(
    tmp_path: Path, content: bytes, expected: bytes, cut: int
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    assert repair_last_line(path) == cut
    assert path.read_bytes() == expected


def test_the_repair_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"torn')
    write(path, [Event(AT, "a", {})])
    assert "removed an incomplete last line of 6 bytes" in caplog.text
    assert json.loads(path.read_text())["type"] == "a"


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EventLogError, match="cannot be written: Is a directory"):
        logger(tmp_path, Backlog(1))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT TESTED: no /dev/full here")
def test_a_disk_that_is_full_to_the_end_costs_the_events_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backlog: Backlog[Event] = Backlog(100)
    with running(Path("/dev/full"), backlog) as log:
        for n in range(3):
            backlog.put(Event(AT, "a", {"n": n}))
        until(lambda: bool(log.status.reason))
        assert "No space left" in log.status.reason
    assert "3 events could not be written before the stop" in caplog.text
    assert log.status.written == 0


def test_a_full_disk_is_waited_for(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, hog = small_disk / "events.jsonl", small_disk / "hog"
    caplog.set_level("INFO")
    backlog: Backlog[Event] = Backlog(100)
    with running(path, backlog) as log:
        backlog.put(Event(AT, "a", {"n": 1}))
        until(lambda: log.status.written == 1)
        hog.write_bytes(bytes(60 * 1024))
        for n in range(2, 10):
            backlog.put(Event(AT, "a", {"n": n, "text": "x" * 3000}))
        until(lambda: "No space left" in log.status.reason)
        assert len(backlog) > 0
        assert path.read_bytes().endswith(b"}\n")  # what did not fit was taken back
        hog.unlink()
        until(lambda: log.status.written == 9)
        assert log.status.reason == ""
    assert numbers(path) == list(range(1, 10))
    assert log.status.failures == 1
    assert caplog.text.count("; retrying every second") == 1
    assert caplog.text.count("the event log can be written again") == 1


def test_the_oldest_events_give_way_in_the_end(small_disk: Path) -> None:
    path, hog = small_disk / "events.jsonl", small_disk / "hog"
    backlog: Backlog[Event] = Backlog(5)
    with running(path, backlog) as log:
        hog.write_bytes(bytes(64 * 1024))
        for n in range(20):
            backlog.put(Event(AT, "a", {"n": n}))
        until(lambda: bool(log.status.reason))
        hog.unlink()
        until(lambda: log.status.written + backlog.dropped == 20)
    assert numbers(path)[-5:] == [15, 16, 17, 18, 19]


def test_a_disk_that_turns_read_only_is_waited_for(small_disk: Path) -> None:
    path = small_disk / "events.jsonl"

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(small_disk)], check=True)

    backlog: Backlog[Event] = Backlog(100)
    remount("ro")
    with running(path, backlog) as log:  # from the start on, as after a bad shutdown
        assert "Read-only file system" in log.status.reason
        backlog.put(Event(AT, "a", {"n": 1}))
        backlog.put(Event(AT, "a", {"n": 2}))
        remount("rw")
        until(lambda: log.status.written == 2)
        assert log.status.reason == ""
    assert numbers(path) == [1, 2]


def test_it_follows_when_another_program_puts_the_file_aside(tmp_path: Path) -> None:
    path, old = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    backlog: Backlog[Event] = Backlog(100)
    with running(path, backlog) as log:
        backlog.put(Event(AT, "a", {"n": 1}))
        until(lambda: log.status.written == 1)
        path.rename(old)
        log.reopen()
        backlog.put(Event(AT, "a", {"n": 2}))
        until(lambda: log.status.written == 2)
        path.unlink()  # and without a word, too
        backlog.put(Event(AT, "a", {"n": 3}))
        until(lambda: log.status.written == 3)
    assert (numbers(old), numbers(path)) == ([1], [3])


@pytest.mark.usefixtures("blazeface_dir")
def test_the_daemon_runs_on_with_a_full_disk_and_says_so(small_disk: Path) -> None:
    hog = small_disk / "hog"
    # The totals would take all of so small a disk before the first event.
    settings = ("camera.source=demo", "events.update_s=0.1", "history.enabled=false")
    with Daemon(small_disk, *settings) as daemon:
        daemon.until(daemon.events)
        hog.write_bytes(bytes(52 * 1024))  # the events take the rest
        reason = daemon.until(lambda: daemon.state()["event_log"]["trouble"])
        assert "No space left" in reason
        with pytest.raises(urllib.error.HTTPError, match="503") as failing:
            daemon.get("/healthz")
        assert reason in failing.value.read().decode()
        assert daemon.get("/snapshot.jpg")
        daemon.until(lambda: daemon.state()["event_log"]["waiting"])  # behind the line in hand
        hog.unlink()
        daemon.until(lambda: not daemon.state()["event_log"]["trouble"])
        assert daemon.get("/healthz").startswith(b"ok")
        assert daemon.stop() == 0
    state = [event["type"] for event in daemon.events()]
    assert (state[0], state[-1]) == ("daemon_start", "daemon_stop")
