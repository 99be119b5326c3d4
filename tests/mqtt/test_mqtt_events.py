"""Tests the delivery of events: from the log and live, in order, after any acknowledgment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.slots import Backlog
from edge_daemon.events.events import Event
from edge_daemon.events.feed import KEPT, EventFeed
from edge_daemon.events.log_reader import EventLogReader
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.events.tail import EventFollower, Position, PositionFile
from edge_daemon.mqtt.delivery import EventDelivery
from edge_daemon.mqtt.messages import Message, Topics

WINDOW = 5


class Site:
    """A real log with its feed, and a broker's side that records the messages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = RotatingLog(folder / "events.jsonl", LogPolicy(rotate_bytes=9_000))
        self.clock = datetime.now(UTC) - timedelta(hours=1)
        self.made = 0
        self.sent: list[dict[str, Any]] = []
        self.start()

    def start(self) -> None:
        """A new process: what was at hand is gone."""
        reader = EventLogReader(self.log.path)
        self.written: Backlog[Event] = Backlog(1)
        self.feed = EventFeed([self.written], reader.last_id())
        self.file = PositionFile(self.folder / "events.mqtt")
        self.delivery = EventDelivery(
            topics=Topics("mien", host="", camera=""),
            follower=EventFollower(feed=self.feed, reader=reader),
            file=self.file,
            newest_id=lambda: self.feed.last_id,
        )

    def make(self, count: int, step_s: float = 0.001) -> None:
        for _ in range(count):
            self.made += 1
            self.clock += timedelta(seconds=step_s)
            self.feed.put(Event(self.clock, "n", {"n": self.made}))
            if event := self.written.get(0.0):
                self.log.append(event.as_line().encode())
        while self.log.tidy():
            pass

    def publish(self, message: Message) -> int:
        self.sent.append(json.loads(message.payload))
        return len(self.sent)

    def send(self) -> list[int]:
        """Return the numbers of the events sent now, negative if marked as redelivered."""
        before = len(self.sent)
        self.delivery.send(self.publish, window=WINDOW)
        return [-e["n"] if e.get("redelivered") else e["n"] for e in self.sent[before:]]

    def deliver(self) -> list[int]:
        """Deliver and acknowledge all events that are left."""
        found: list[int] = []
        while now := self.send():
            found += now
            self.acknowledge()
        return found

    def acknowledge(self, numbers: Sequence[int] = range(100_000)) -> None:
        self.delivery.acknowledge(numbers)


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Site]:
    """One that MQTT is new to."""
    site = Site(tmp_path)
    yield site
    site.log.close()


@pytest.fixture
def site(new_site: Site) -> Site:
    """One whose broker gets everything from the beginning."""
    new_site.file.save(Position(""), is_sending=False)
    new_site.start()
    new_site.delivery.connected()
    return new_site


def test_no_more_than_the_window_is_on_its_way(site: Site) -> None:
    site.make(12)
    assert site.send() == [1, 2, 3, 4, 5]
    assert site.send() == []
    site.acknowledge([1, 2])
    assert site.send() == [6, 7]
    site.acknowledge()
    assert site.deliver() == [8, 9, 10, 11, 12]
    assert site.delivery.is_done


def test_what_was_not_acknowledged_is_sent_again_and_marked(site: Site) -> None:
    site.make(8)
    site.send()
    site.acknowledge([1, 3])  # the second is missing, so that the third counts for nothing
    site.delivery.disconnected()
    site.delivery.connected()
    assert site.send() == [-2, -3, -4, -5, 6]
    site.acknowledge([6, 7])
    site.delivery.disconnected()
    site.delivery.connected()
    assert site.deliver() == [-4, -5, -6, 7, 8]
    assert site.delivery.redelivered == 5


def test_the_position_outlives_the_process(site: Site) -> None:
    site.make(8)
    site.send()
    site.acknowledge([1, 2, 3])
    site.delivery.disconnected()
    site.start()
    site.make(1)
    site.delivery.connected()
    assert site.deliver() == [-4, -5, 6, 7, 8, 9]
    site.delivery.disconnected()
    site.start()
    site.make(1)
    site.delivery.connected()
    assert site.deliver() == [10]


def test_after_a_kill_all_from_before_may_have_been_delivered(site: Site) -> None:
    site.make(3)
    site.deliver()  # and nothing more is saved
    site.start()
    site.clock = datetime.now(UTC)
    site.make(2, step_s=0.5)
    site.delivery.connected()
    assert site.deliver() == [-1, -2, -3, 4, 5]


def test_the_first_start_begins_with_what_happens_then(new_site: Site) -> None:
    site = new_site
    site.make(5)
    (site.folder / "events.mqtt").unlink()
    site.start()
    site.clock = datetime.now(UTC)
    site.make(2)
    site.delivery.connected()
    assert site.deliver() == [6, 7]


def test_an_outage_longer_than_what_is_at_hand_is_read_from_the_log(site: Site) -> None:
    site.make(2)
    assert site.deliver() == [1, 2]
    site.make(2 * KEPT)  # over several files
    assert len(list(site.folder.glob("events.0*.jsonl.gz"))) > 3
    assert site.send() == [3, 4, 5, 6, 7]
    site.make(2 * KEPT)  # while it is read, too
    site.acknowledge()
    assert site.deliver() == list(range(8, site.made + 1))


def test_a_position_that_the_log_has_no_more_goes_on_with_later_events(site: Site) -> None:
    site.make(4)
    assert site.deliver() == [1, 2, 3, 4]
    site.delivery.disconnected()
    site.log.path.unlink()
    site.log.reopen()
    site.start()
    site.make(3)
    site.delivery.connected()
    assert site.deliver() == [5, 6, 7]


def test_a_clock_that_was_set_back_loses_nothing(site: Site) -> None:
    site.make(4)
    assert site.deliver() == [1, 2, 3, 4]
    site.delivery.disconnected()
    site.clock -= timedelta(days=1)
    site.start()
    site.make(3)
    site.delivery.connected()
    assert site.deliver() == [5, 6, 7]


def test_events_from_before_the_connection_are_late(site: Site) -> None:
    site.delivery.disconnected()
    site.make(1)
    site.delivery.connected()
    site.clock -= timedelta(hours=2)  # set back, and still later in the log
    site.make(1)
    site.deliver()
    assert [event.get("late") for event in site.sent] == [True, None]


def test_a_position_that_cannot_be_read_costs_nothing(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.make(2)
    site.deliver()
    (site.folder / "events.mqtt").write_text("{")
    site.start()
    assert "all events of the log are sent" in caplog.text
    site.make(1)
    site.delivery.connected()
    assert [abs(n) for n in site.deliver()] == [1, 2, 3]
