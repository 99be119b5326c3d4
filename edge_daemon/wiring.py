"""Builds the daemon: a configuration in, all parts out, none of them started.

With `stage_builder` this is the only place where parts are put together.
"""

from __future__ import annotations

import logging
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
from edge_daemon.events.build import build_event_log, build_history, build_snapshot_writer
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.history import EventHistory
from edge_daemon.events.snapshots import Shot, SnapshotWriter
from edge_daemon.events.writer import EventLog
from edge_daemon.mqtt.build import build_mqtt
from edge_daemon.mqtt.link import MqttLink
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
    event_log: EventLog
    shots: Backlog[Shot]
    snapshots: SnapshotWriter
    stills: StillReader
    web: WebServer
    commands: Backlog[Command]
    mqtt: MqttLink | None
    updater: Updater | None


def build(config: Config, stop: Stop, run_id: str) -> Parts:
    """Build every part from the configuration; `stop` hears of failures in their threads."""
    frames: Latest[Frame] = Latest()
    views: Latest[View] = Latest()
    backlog: Backlog[Event] = Backlog(BACKLOG_EVENTS)
    shots: Backlog[Shot] = Backlog(BACKLOG_SHOTS)
    pictures: Latest[bytes] = Latest()
    commands: Backlog[Command] = Backlog(BACKLOG_COMMANDS)
    event_log, history = build_event_log(config, backlog), build_history(config)
    feed = EventFeed([backlog], history.last_id())
    board, throttle, times = Board(), Throttle(), StageTimes()
    stages = build_stages(config, run_id)
    snapshots = build_snapshot_writer(config, shots, pictures)

    def put_note(kind: str, at: datetime, **fields: object) -> None:
        feed.put(pipeline.stages.maker.make(kind, at, **fields))

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
        history=history,
        report=report,
        stills=stills,
        metrics=metrics,
        times=times,
        stop=stop,
    )
    mqtt = build_mqtt(
        config,
        feed=feed,
        views=views,
        pictures=pictures,
        faces=report.faces,
        state=lambda: report.state(web.viewers),
        labels=lambda: pipeline.stages.classifier.model.labels,
        commands=commands,
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
        event_log=event_log,
        shots=shots,
        snapshots=snapshots,
        stills=stills,
        web=web,
        commands=commands,
        mqtt=mqtt,
        updater=updater,
    )


def _web(
    config: Config,
    *,
    views: Latest[View],
    feed: EventFeed,
    history: EventHistory,
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
        history=history,
        report=report,
        stills=stills,
        metrics=metrics.text,
        observe=times.observe,
        on_failure=stop.fail,
    )
