"""Many devices: processes with the daemon's own log and MQTT parts, and generated events.

Arguments: the broker's port, a folder, the number of devices, seconds, events per second. Each ends
when the broker has all its events. Prints the total number of events.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import View
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.history import EventHistory
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.events.tail import EventFollower, PositionFile
from edge_daemon.mqtt.client import connector
from edge_daemon.mqtt.delivery import EventDelivery
from edge_daemon.mqtt.link import MqttLink
from edge_daemon.mqtt.messages import Topics
from edge_daemon.mqtt.states import StatePublisher

STATE: dict[str, Any] = {
    "time": "2026-01-31T12:00:00.000Z",
    "version": "0",
    "model": {"name": "none"},
    "camera": {"state": "ok", "notice": ""},
    "fps": 15.0,
    "latency_ms": 20.0,
    "board": {"temperatures_c": {}, "limits": None},
    "viewers": 0,
    "uptime_s": 0.0,
    "event_log": {"trouble": ""},
    "controls": {"pause": False, "blur": False, "interval": "auto"},
}


def be_a_device(number: int, port: int, folder: Path, seconds: float, rate: float) -> None:
    """Generate events and send them until the broker has all of them."""
    log = RotatingLog(folder / f"{number:04}" / "events.jsonl", LogPolicy())
    log.open()
    written: Backlog[Event] = Backlog(1)
    feed = EventFeed([written])
    topics = Topics("mien/{host}/{camera}", host="fleet", camera=f"{number:04}")
    views: Latest[View] = Latest()
    mqtt = MqttLink(
        broker_name="fleet",
        connect=connector(
            host="127.0.0.1",
            port=port,
            client_id=topics.device,
            credentials="",
            tls=False,
            ca="",
            certificate="",
            key="",
        ),
        topics=topics,
        events=EventDelivery(
            topics=topics,
            follower=EventFollower(feed=feed, history=EventHistory(log.path)),
            file=PositionFile(log.path.with_suffix(".mqtt")),
            newest_id=lambda: feed.last_id,
        ),
        states=StatePublisher(
            topics=topics, views=views, pictures=None, faces=lambda _: {}, state=lambda: STATE
        ),
        discovery=None,
        commands=None,
    )
    feed.listen(mqtt.wake)
    thread = threading.Thread(target=mqtt.run)
    thread.start()
    count = round(seconds * rate)
    start_s = time.monotonic() + number % 100 / 100 / rate  # spread over time
    for n in range(count):
        time.sleep(max(start_s + n / rate - time.monotonic(), 0))
        feed.put(Event(datetime.now(UTC), "n", {"camera": number, "n": n}))
        if event := written.get(0.0):
            log.append(event.as_line().encode())
    while mqtt.status.acknowledged < count:
        time.sleep(0.1)
    mqtt.close()
    thread.join()
    log.close()


def main(port: int, folder: Path, devices: int, seconds: float, rate: float) -> int:
    children = []
    for number in range(devices):
        child = os.fork()
        if child == 0:
            be_a_device(number, port, folder, seconds, rate)
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(devices * round(seconds * rate))
    return max(codes)


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main(int(words[0]), Path(words[1]), int(words[2]), float(words[3]), float(words[4])))
