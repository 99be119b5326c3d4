"""The running parts that /state and /metrics look at when asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_daemon.backlog import Backlog
from edge_daemon.board import Board
from edge_daemon.camera import Camera
from edge_daemon.event_feed import EventFeed
from edge_daemon.event_log import EventLog
from edge_daemon.events import Event
from edge_daemon.latest import Latest
from edge_daemon.mqtt import MqttStatus
from edge_daemon.pipeline import Pipeline
from edge_daemon.slow_down import SlowDown
from edge_daemon.snapshots import Shot, Snapshots
from edge_daemon.types import View
from edge_daemon.update_status import UpdateStatus


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
    snapshots: Snapshots
    shots: Backlog[Shot]
    board: Board
    slow_down: SlowDown
    mqtt: Callable[[], MqttStatus | None]
    update: Callable[[], UpdateStatus | None]
