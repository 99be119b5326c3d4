"""The running parts that /state and /metrics look at when asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_daemon.capture.camera import Camera
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import View
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.snapshots import Shot, SnapshotWriter
from edge_daemon.events.writer import EventLog
from edge_daemon.mqtt.link import MqttStatus
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.pipeline.throttle import Throttle
from edge_daemon.status.board import Board
from edge_daemon.updates.status import UpdateStatus


@dataclass(frozen=True, slots=True)
class Observed:
    """What is looked at; `mqtt` and `update` tell how these do, None where there is none."""

    camera_name: str
    camera: Camera
    pipeline: Pipeline
    views: Latest[View]
    feed: EventFeed
    backlog: Backlog[Event]
    event_log: EventLog
    snapshots: SnapshotWriter
    shots: Backlog[Shot]
    board: Board
    throttle: Throttle
    mqtt: Callable[[], MqttStatus | None]
    update: Callable[[], UpdateStatus | None]
