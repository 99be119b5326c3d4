"""Lists the daemon's parts, built from the configuration and not yet started."""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.capture.part import CameraPart
from edge_daemon.config.schema import Config
from edge_daemon.core.parts import Part
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.threads import Stop
from edge_daemon.core.types import Command, Frame, View
from edge_daemon.events.part import EventLogPart, RunPart, SnapshotsPart
from edge_daemon.history.part import HistoryPart
from edge_daemon.mqtt.part import MqttPart
from edge_daemon.pipeline.part import PipelinePart
from edge_daemon.status.board import BoardPart
from edge_daemon.status.metrics import PrometheusMetrics, StageTimes
from edge_daemon.status.report import DaemonReport
from edge_daemon.updates.guard import ModelGuard
from edge_daemon.updates.part import UpdatesPart
from edge_daemon.web.app import WebSources
from edge_daemon.web.part import WebPart
from edge_daemon.web.settings import Settings
from edge_daemon.webhooks.part import WebhooksPart

MAX_COMMANDS = 8  # waiting to be carried out


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon's parts in the order of their start, and those that the main loop uses."""

    parts: list[Part[Config]]
    report: DaemonReport
    commands: Backlog[Command]
    camera: CameraPart
    pipeline: PipelinePart
    event_log: EventLogPart
    web: WebPart


def build(config: Config, stop: Stop, run_id: str, guard: ModelGuard, settings: Settings) -> Daemon:
    """Build every part; failures in their threads are passed to `stop`. Raises UserError."""
    frames: Latest[Frame] = Latest()
    views: Latest[View] = Latest()
    commands: Backlog[Command] = Backlog(MAX_COMMANDS)
    parts: list[Part[Config]] = []
    times = StageTimes()
    report = DaemonReport(parts, stage_means_ms=times.means_ms)
    event_log = EventLogPart(config, on_failure=stop.fail)
    snapshots = SnapshotsPart(config, on_failure=stop.fail)
    camera = CameraPart(config, frames=frames, on_failure=stop.fail)
    pipeline = PipelinePart(
        config,
        run_id=run_id,
        check=guard.check,
        frames=frames,
        views=views,
        feed=event_log.feed,
        shots=snapshots.shots,
        notice=lambda: camera.notice,
        observe=times.observe,
        on_failure=stop.fail,
    )
    camera.listen(pipeline.log_event)
    history = HistoryPart(
        config, feed=event_log.feed, log_reader=event_log.reader, on_failure=stop.fail
    )
    sources = WebSources(
        views=views,
        feed=event_log.feed,
        log_reader=event_log.reader,
        totals=history.answers,
        report=report,
        stills=pipeline.stills,
        settings=settings,
        calibration=pipeline.calibrator,
        metrics=PrometheusMetrics(parts, times).text,
        observe=times.observe,
    )
    web = WebPart(config, sources, on_failure=stop.fail)
    mqtt = MqttPart(
        config,
        feed=event_log.feed,
        views=views,
        pictures=snapshots.pictures,
        state=report.state,
        labels=lambda: pipeline.labels,
        commands=commands,
        on_failure=stop.fail,
    )
    updates = _updates(config, pipeline=pipeline, commands=commands, guard=guard, stop=stop)
    parts += [BoardPart(pipeline.limit, on_failure=stop.fail), event_log, snapshots, history]
    webhooks = WebhooksPart(config, feed=event_log.feed, on_failure=stop.fail)
    parts += [web, mqtt, webhooks, RunPart(pipeline.log_event), pipeline, camera, updates]
    return Daemon(parts, report, commands, camera, pipeline, event_log, web)


def _updates(
    config: Config,
    *,
    pipeline: PipelinePart,
    commands: Backlog[Command],
    guard: ModelGuard,
    stop: Stop,
) -> UpdatesPart:
    """Build the updates, which switch to a model by a command."""
    return UpdatesPart(
        config,
        guard=guard,
        running=lambda: pipeline.model,
        progress=lambda: pipeline.progress,
        use=lambda path: commands.put(Command("model", str(path))),
        stop=stop,
    )
