"""Builds the daemon: a configuration in, all parts out, none of them started.

With `stage_builder` this is the only place where parts are put together.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge_daemon.capture.build import configured_source
from edge_daemon.capture.camera import Camera
from edge_daemon.config.schema import Config
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.threads import Stop
from edge_daemon.core.types import Command, Frame, View
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.history import EventHistory
from edge_daemon.events.ram import RamLog
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.events.snapshots import Shot, SnapshotPolicy, Snapshots
from edge_daemon.events.tail import EventTail
from edge_daemon.events.writer import EventLog
from edge_daemon.mqtt import home_assistant
from edge_daemon.mqtt.delivery import EventDelivery
from edge_daemon.mqtt.link import Discovery, Mqtt
from edge_daemon.mqtt.messages import Topics
from edge_daemon.mqtt.position import PositionFile
from edge_daemon.mqtt.states import StateTeller
from edge_daemon.pipeline.build import STILL_FACES, build_stages, still_parts
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.pipeline.throttle import Throttle
from edge_daemon.status.board import Board
from edge_daemon.status.metrics import Metrics, StageTimes
from edge_daemon.status.observed import Observed
from edge_daemon.status.report import StateReport
from edge_daemon.updates.build import build_updater
from edge_daemon.vision.still import StillReader
from edge_daemon.web.app import WebServer
from edge_daemon.web.server.server import Tls

if TYPE_CHECKING:
    from edge_daemon.updates.updater import Updater

BACKLOG_EVENTS = 10_000
BACKLOG_SHOTS = 8  # each holds a whole picture
BACKLOG_COMMANDS = 8
DAY_S = 86400.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The daemon's parts, built and not yet started."""

    camera: Camera
    pipeline: Pipeline
    board: Board
    throttle: Throttle
    feed: EventFeed
    backlog: Backlog[Event]
    disk: RotatingLog
    event_log: EventLog
    shots: Backlog[Shot]
    snapshots: Snapshots
    stills: StillReader
    web: WebServer
    commands: Backlog[Command]
    mqtt: Mqtt | None
    updater: Updater | None


def build(config: Config, stop: Stop, run_id: str) -> Parts:
    """Build every part from the configuration; `stop` hears of failures in their threads."""
    frames: Latest[Frame] = Latest()
    views: Latest[View] = Latest()
    backlog: Backlog[Event] = Backlog(BACKLOG_EVENTS)
    shots: Backlog[Shot] = Backlog(BACKLOG_SHOTS)
    pictures: Latest[bytes] = Latest()
    commands: Backlog[Command] = Backlog(BACKLOG_COMMANDS)
    feed = EventFeed([backlog])
    board, throttle, times = Board(), Throttle(), StageTimes()
    stages = build_stages(config, run_id)
    disk = RotatingLog(Path(config.events.path), log_policy(config))
    event_log = EventLog(disk.path, _store(config, disk), backlog)
    snapshots = Snapshots(Path(config.snapshots.path), snapshot_policy(config), shots, pictures)

    def put_note(kind: str, at: datetime, **fields: object) -> None:
        feed.put(pipeline.stages.maker.note(kind, at, **fields))

    camera = Camera(
        open_source=configured_source(config),
        frames=frames,
        timeout_s=config.camera.timeout_s,
        lossless=config.camera.lossless,
        on_failure=stop.fail,
        check_frozen=config.camera.check_frozen,
        on_lost=lambda loss: put_note("camera_lost", loss.at, cause=loss.cause, reason=loss.reason),
        on_restored=lambda at, gone_s: put_note("camera_restored", at, duration_s=round(gone_s, 3)),
    )
    pipeline = Pipeline(
        frames=frames,
        views=views,
        events=feed,
        shots=shots,
        stages=stages,
        notice=lambda: camera.notice,
        blank_size=(config.camera.width, config.camera.height),
        stop=stop.event,
        throttle=throttle,
        observe=times.observe,
    )
    observed = Observed(
        camera_name=config.camera.name,
        camera=camera,
        pipeline=pipeline,
        views=views,
        feed=feed,
        backlog=backlog,
        event_log=event_log,
        snapshots=snapshots,
        shots=shots,
        board=board,
        throttle=throttle,
        mqtt=lambda: mqtt.status if mqtt else None,
        update=lambda: updater.status if updater else None,
    )
    report = StateReport(observed, stage_means_ms=times.means_ms)
    metrics = Metrics(observed, times=times, viewers=lambda: web.viewers)
    stills = StillReader(still_parts(config, stages), max_faces=STILL_FACES)
    web = _web(
        config,
        views=views,
        feed=feed,
        report=report,
        stills=stills,
        metrics=metrics,
        times=times,
        stop=stop,
    )
    mqtt = _mqtt(
        config,
        feed=feed,
        states=lambda topics: StateTeller(
            topics=topics,
            views=views,
            pictures=pictures if config.mqtt.snapshots else None,
            faces=report.faces,
            state=lambda: report.state(web.viewers),
        ),
        labels=lambda: pipeline.stages.classifier.model.labels,
        commands=commands if config.mqtt.commands else None,
    )
    updater = build_updater(
        config,
        running=lambda: pipeline.stages.classifier.model.path,
        progress=lambda: pipeline.progress,
        use=lambda path: commands.put(Command("model", str(path))),
        stop=stop,
    )
    return Parts(
        camera=camera,
        pipeline=pipeline,
        board=board,
        throttle=throttle,
        feed=feed,
        backlog=backlog,
        disk=disk,
        event_log=event_log,
        shots=shots,
        snapshots=snapshots,
        stills=stills,
        web=web,
        commands=commands,
        mqtt=mqtt,
        updater=updater,
    )


def _store(config: Config, disk: RotatingLog) -> RotatingLog | RamLog:
    folder = config.events.ram_dir
    return RamLog(Path(folder), disk) if folder else disk


def log_policy(config: Config) -> LogPolicy:
    events = config.events
    return LogPolicy(
        rotate_bytes=events.rotate_mb * 1e6,
        rotate_s=events.rotate_h * 3600,
        keep_bytes=events.keep_mb * 1e6,
        keep_s=events.keep_days * DAY_S,
        fsync=events.fsync,
        flush_s=events.ram_flush_s,
    )


def snapshot_policy(config: Config) -> SnapshotPolicy:
    snapshots = config.snapshots
    return SnapshotPolicy(keep_bytes=snapshots.keep_mb * 1e6, keep_s=snapshots.keep_days * DAY_S)


def _web(
    config: Config,
    *,
    views: Latest[View],
    feed: EventFeed,
    report: StateReport,
    stills: StillReader,
    metrics: Metrics,
    times: StageTimes,
    stop: Stop,
) -> WebServer:
    web = config.web
    return WebServer(
        host=web.host,
        port=web.port,
        tls=Tls(Path(web.tls_certificate), Path(web.tls_key)) if web.tls_certificate else None,
        password=web.password,
        token=web.token,
        hosts=web.hosts,
        max_viewers=web.max_viewers,
        views=views,
        feed=feed,
        history=_history(config),
        report=report,
        stills=stills,
        metrics=metrics.text,
        observe=times.observe,
        on_failure=stop.fail,
    )


def _history(config: Config) -> EventHistory:
    path, folder = Path(config.events.path), config.events.ram_dir
    return EventHistory(path, ram=Path(folder) / path.name if folder else None)


def _mqtt(
    config: Config,
    *,
    feed: EventFeed,
    states: Callable[[Topics], StateTeller],
    labels: Callable[[], Sequence[str]],
    commands: Backlog[Command] | None,
) -> Mqtt | None:
    """None without a broker; then its library is not even imported."""
    settings = config.mqtt
    if not settings.host:
        return None
    from edge_daemon.mqtt.client import connector  # noqa: PLC0415 (an extra, not always there)

    if settings.shows_password:
        log.warning("mqtt: the password goes to %s in the clear; set mqtt.tls", settings.host)
    topics = Topics(settings.topic, host=socket.gethostname(), camera=config.camera.name)
    discovery = Discovery(
        settings.discovery,
        lambda: home_assistant.announcement(
            settings.discovery,
            topics,
            name=config.camera.name,
            labels=labels(),
            has_commands=settings.commands,
            has_snapshots=settings.snapshots,
        ),
    )
    mqtt = Mqtt(
        broker_name=f"{settings.host}:{settings.port}",
        connect=connector(
            host=settings.host,
            port=settings.port,
            client_id=topics.device,
            credentials=settings.credentials,
            tls=settings.tls,
            ca=settings.tls_ca,
            certificate=settings.tls_certificate,
            key=settings.tls_key,
        ),
        topics=topics,
        events=EventDelivery(
            topics=topics,
            tail=EventTail(feed=feed, history=_history(config)),
            file=PositionFile(Path(config.events.path).with_suffix(".mqtt")),
        ),
        states=states(topics),
        discovery=discovery if settings.discovery else None,
        commands=commands,
    )
    feed.listen(mqtt.ring)
    return mqtt
