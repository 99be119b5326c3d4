"""The event log on a real disk: whole lines, repair of a torn one, a disk that fills."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_daemon.backlog import Backlog
from edge_daemon.event_log import EventLog, EventLogError, repair_last_line
from edge_daemon.events import Event

AT = datetime(2026, 1, 31, tzinfo=UTC)


def write(path: Path, events: list[Event]) -> None:
    backlog: Backlog[Event] = Backlog(100)
    log = EventLog(path, backlog)
    for event in events:
        backlog.put(event)
    backlog.close()
    log.run()


def test_a_line_an_event_in_order_after_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    write(path, [Event(AT, "a", {"n": 1})])
    write(path, [Event(AT, "b", {"n": 2}), Event(AT, "c", {"n": 3})])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["type"], line["n"]) for line in lines] == [("a", 1), ("b", 2), ("c", 3)]


def test_a_line_is_on_disk_before_the_next_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    backlog: Backlog[Event] = Backlog(100)
    log = EventLog(path, backlog)
    thread = threading.Thread(target=log.run)
    thread.start()
    backlog.put(Event(AT, "a", {}))
    deadline = threading.Event()
    for _ in range(500):
        if path.read_bytes().endswith(b"}\n"):
            break
        deadline.wait(0.01)
    backlog.close()
    thread.join()
    assert json.loads(path.read_text())["type"] == "a"


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
    assert "torn last line of 6 bytes" in caplog.text
    assert json.loads(path.read_text())["type"] == "a"


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EventLogError, match="cannot be written: Is a directory"):
        EventLog(tmp_path, Backlog(1))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT TESTED: no /dev/full here")
def test_a_full_disk_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    backlog: Backlog[Event] = Backlog(100)
    log = EventLog(Path("/dev/full"), backlog)
    thread = threading.Thread(target=log.run)
    backlog.put(Event(AT, "a", {}))
    thread.start()
    for _ in range(500):
        if "No space left" in caplog.text:
            break
        threading.Event().wait(0.01)
    assert thread.is_alive()
    backlog.close()
    thread.join(5)
    assert not thread.is_alive()
    assert os.strerror(28) in caplog.text
