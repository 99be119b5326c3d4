"""A real event log with a real MQTT link in its thread, without the rest of the daemon."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Box, Command, Face, Frame, View
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.log_reader import EventLogReader
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.events.tail import EventFollower, PositionFile
from edge_daemon.mqtt import home_assistant
from edge_daemon.mqtt.client import connector
from edge_daemon.mqtt.delivery import EventDelivery
from edge_daemon.mqtt.link import Discovery, MqttLink
from edge_daemon.mqtt.messages import Topics
from edge_daemon.mqtt.states import StatePublisher

STATE: Final[dict[str, Any]] = {
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


class MqttSite:
    """Connects to a broker on loopback; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        topic: str = "mien/test/porch",
        credentials: str = "",
        commands: bool = False,
        discovery: bool = True,
    ) -> None:
        self._log = RotatingLog(folder / "events.jsonl", LogPolicy())
        self._log.open()
        self._written: Backlog[Event] = Backlog(1)
        reader = EventLogReader(self._log.path)
        self.feed = EventFeed([self._written], reader.last_id())
        self.views: Latest[View] = Latest()
        self.pictures: Latest[bytes] = Latest()
        self.commands: Backlog[Command] = Backlog(1000)
        self.topics = topics = Topics(topic, host="", camera="")
        self.link = MqttLink(
            broker_name=f"127.0.0.1:{port}",
            connect=connector(
                host="127.0.0.1",
                port=port,
                client_id=topics.device,
                credentials=credentials,
                tls=False,
                ca="",
                certificate="",
                key="",
            ),
            topics=topics,
            events=EventDelivery(
                topics=topics,
                follower=EventFollower(feed=self.feed, reader=reader),
                file=PositionFile(self._log.path.with_suffix(".mqtt")),
                newest_id=lambda: self.feed.last_id,
            ),
            states=StatePublisher(
                topics=topics,
                views=self.views,
                pictures=self.pictures,
                faces=View.as_dict,
                state=lambda: STATE,
            ),
            discovery=Discovery("homeassistant", self._discovery) if discovery else None,
            commands=self.commands if commands else None,
        )
        self.feed.listen(self.link.wake)
        self._thread = threading.Thread(target=self.link.run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.link.close()
        self._thread.join()
        self._log.close()

    def happens(self, **fields: Any) -> None:
        """Log an event and offer it to the link."""
        self.feed.put(Event(datetime.now(UTC), "n", fields))
        if event := self._written.get(0.0):
            self._log.append(event.as_line().encode())

    def shows(self, *labels: str) -> None:
        """Publish a view with a face of each label."""
        frame = Frame(1, Picture(np.zeros((48, 64, 3), np.uint8)), 0.0, datetime.now(UTC))
        faces = [
            Face(id_, Box(1, 2, 9, 9), label, 1.0, (1.0,), 0.0) for id_, label in enumerate(labels)
        ]
        self.views.put(View(frame, tuple(faces)))

    def _discovery(self) -> Any:
        return home_assistant.discovery_message(
            "homeassistant",
            self.topics,
            name="Porch",
            labels=("happy", "sad"),
            has_commands=True,
            has_snapshots=True,
            has_thermometer=True,
        )
