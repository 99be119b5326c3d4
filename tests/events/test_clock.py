"""Sets the clock while the daemon runs: ids grow, and no file is deleted too early.

The clock is set for the daemon's process alone, by libfaketime.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.broker import Listener, mosquitto
from support.daemon import Daemon
from support.fake_clock import FakeClock

from edge_daemon.core.slots import Backlog
from edge_daemon.events.archive import Retention
from edge_daemon.events.clock import ClockWatch
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.log_reader import EventLogReader, Query
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.history.aggregate import AggregateState, aggregate

DAY_S = 86400.0


def whole_log(path: Path) -> list[dict[str, Any]]:
    """Return all events, of rotated files too, in the order of the log."""
    numbered = {file.name[:13]: file for file in sorted(path.parent.glob("events.0*.jsonl*"))}
    texts = [
        gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for file in numbered.values()
        if file.suffix != ".part"
    ]
    return [json.loads(line) for text in [*texts, path.read_bytes()] for line in text.splitlines()]


def events_of(daemon: Daemon, kind: str) -> list[dict[str, Any]]:
    return [event for event in daemon.events() if event["type"] == kind]


def has_more(listener: Listener, events: int) -> bool:
    return len(listener.events()) > events


@pytest.mark.usefixtures("blazeface_dir")
def test_a_clock_that_is_set_loses_no_event_and_keeps_their_order(tmp_path: Path) -> None:
    clock = FakeClock(tmp_path)
    since_1970_s = time.time() - 100
    offsets_s = [-since_1970_s, 0.0, 3600.0, 0.0, -3600.0, 73 * 365 * DAY_S, 0.0]
    clock.set(offsets_s[0])
    settings = ["camera.source=demo", "events.update_s=0.1", "events.dwell_s=0"]
    settings += ["events.rotate_mb=0.01", "events.rotate_h=0.5", "events.keep_days=1"]
    with mosquitto(tmp_path) as broker, Listener(broker.port, topic="mien/#") as listener:
        settings += ["mqtt.host=127.0.0.1", f"mqtt.port={broker.port}", "mqtt.topic=mien/clock"]
        with Daemon(tmp_path, *settings, interpreter=clock.interpreter) as daemon:
            for offset_s in offsets_s:
                clock.set(offset_s)
                before = len(listener.events())
                daemon.until(partial(has_more, listener, before + 15))
            assert daemon.stop() == 0
        assert not any(event.get("redelivered") for event in listener.events())
        published = [event["id"] for event in listener.events()]
    logged = [event["id"] for event in whole_log(tmp_path / "events.jsonl")]
    assert len(list(tmp_path.glob("events.0*"))) > 1
    assert published == logged == sorted(set(logged))
    assert not [line for line in daemon.log if "Traceback" in line]


@pytest.mark.usefixtures("blazeface_dir")
def test_a_jump_of_the_clock_is_logged_and_not_counted_as_recorded(tmp_path: Path) -> None:
    clock = FakeClock(tmp_path)
    clock.set(-5 * DAY_S)
    began_s = time.monotonic()
    with Daemon(tmp_path, "camera.source=demo", interpreter=clock.interpreter) as daemon:
        daemon.until(lambda: events_of(daemon, "face_start"))
        clock.set(0.0)
        daemon.until(lambda: events_of(daemon, "clock_jump"))
        clock.set(-3600.0)
        daemon.until(lambda: events_of(daemon, "clock_jump")[1:])
        assert daemon.stop() == 0
    jumps_s = [round(event["jump_s"], -2) for event in events_of(daemon, "clock_jump")]
    assert jumps_s == [5 * DAY_S, -3600.0]
    minutes, _ = aggregate(daemon.events(), AggregateState())
    recorded_ms = sum(minute.recorded_ms for minute in minutes.values())
    assert 0 < recorded_ms / 1000 <= time.monotonic() - began_s


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_frame_from_before_a_jump_gets_the_new_time(
    monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    feed, real = EventFeed([]), time.time
    feed.follow_clock(ClockWatch(lambda kind, at, **fields: Event(at, kind, fields)))
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    now = datetime.now(UTC)
    logged = feed.put(Event(now - timedelta(seconds=jump_s), "face_start", {}))
    assert logged.at == pytest.approx(now, abs=timedelta(seconds=1))
    for later in (now, now - timedelta(days=1)):
        assert feed.put(Event(later, "face_end", {})).at == later
    jump, *others = [entry.event for entry in feed.kept()]
    assert (jump["type"], jump["jump_s"]) == ("clock_jump", pytest.approx(jump_s, abs=1))
    assert [event["type"] for event in others] == ["face_start", "face_end", "face_end"]


def test_a_day_without_an_event_ends_with_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, the history would not count an empty month as recorded."""
    feed, real, told = EventFeed([]), time.monotonic, list[int]()
    feed.follow_clock(ClockWatch(lambda kind, at, **fields: Event(at, kind, fields)))
    feed.listen(lambda: told.append(len(feed.kept())))
    for hours in (0, 23, 25, 26, 48, 50):
        monkeypatch.setattr(time, "monotonic", lambda hours=hours: real() + hours * 3600)
        monkeypatch.setattr(feed._clock, "_offset_s", time.time() - time.monotonic())
        feed.check_clock()
    assert [entry.event["type"] for entry in feed.kept()] == ["daemon_alive"] * 2  # at 25 and 50
    assert told == [1, 2]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three files that were last written to 5, 3 and 1 days ago."""
    paths = [tmp_path / str(number) for number in range(3)]
    for path, days in zip(paths, (5, 3, 1), strict=True):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - days * DAY_S,) * 2)
    return paths


def existing(files: list[Path]) -> Callable[[], list[Path]]:
    return lambda: [path for path in files if path.exists()]


@pytest.mark.parametrize("years", [-56, -1, 1, 73])
def test_ages_are_the_same_after_a_clock_was_set(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    retention = Retention(existing(files))
    assert retention.prune(keep_bytes=1e9, keep_s=6 * DAY_S) == 0
    real = time.time
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: real() + years * 365 * DAY_S)
        assert retention.prune(keep_bytes=1e9, keep_s=6 * DAY_S) == 0
        assert retention.prune(keep_bytes=1e9, keep_s=4 * DAY_S) == 1
    assert retention.prune(keep_bytes=1e9, keep_s=2 * DAY_S) == 1
    assert existing(files)() == files[2:]


def test_a_daemon_that_starts_with_a_wrong_clock_deletes_nothing(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 2099, before the clock is corrected; and in 1970, where files come from the future."""
    real = time.time
    for offset_s in (73 * 365 * DAY_S, -56 * 365 * DAY_S):
        retention = Retention(existing(files))
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda offset_s=offset_s: real() + offset_s)
            assert retention.prune(keep_bytes=1e9, keep_s=6 * DAY_S) == 0
        assert retention.prune(keep_bytes=1e9, keep_s=7 * DAY_S) == 0
    assert Retention(existing(files)).prune(keep_bytes=1e9, keep_s=4 * DAY_S) >= 1


def test_a_file_rotated_in_1970_is_as_old_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that began before the clock was set is rotated then, and kept."""
    real = time.time
    log = RotatingLog(tmp_path / "events.jsonl", LogPolicy(rotate_bytes=300, keep_s=DAY_S))
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: real() - 56 * 365 * DAY_S)
        for number in range(6):
            log.append(json.dumps({"n": number, "text": "x" * 100}).encode() + b"\n")
            log.tidy()
        for rotated in tmp_path.glob("events.0*"):  # as the kernel would date them
            os.utime(rotated, (time.time(),) * 2)
    for number in range(6, 9):
        log.append(json.dumps({"n": number, "text": "x" * 100}).encode() + b"\n")
    while log.tidy():
        pass
    log.close()
    assert [event["n"] for event in whole_log(tmp_path / "events.jsonl")] == list(range(9))


def test_events_after_the_clock_was_set_back_are_found_and_come_after(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "events.jsonl", LogPolicy(rotate_bytes=1000))
    written: Backlog[Event] = Backlog(1)
    feed = EventFeed([written])
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    minutes = [*range(60), *range(0, 120, 2)]  # an hour, then set back by an hour
    for number, minute in enumerate(minutes):
        feed.put(Event(noon + timedelta(minutes=minute), "n", {"n": number}))
        event = written.get(0.0)
        assert event is not None
        log.append(event.as_line().encode())
    log.close()
    reader = EventLogReader(log.path)
    ids = [entry.id for entry in reader.find(Query(), 1000)]
    assert ids == sorted(set(ids))
    assert reader.last_id() == feed.last_id == ids[-1]
    found = reader.find(
        Query(since="2026-01-31T12:10:00.000Z", until="2026-01-31T12:20:00.000Z"), 99
    )
    assert [entry.event["n"] for entry in found] == [
        number for number, minute in enumerate(minutes) if 10 <= minute < 20
    ]
    assert [entry.event["n"] for entry in reader.after(ids[70])] == list(range(71, 120))
    newest = reader.find(Query(), 3, newest_first=True)
    assert [entry.event["n"] for entry in newest] == [119, 118, 117]
