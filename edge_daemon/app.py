"""The composition root: a configuration in, a running daemon out. Nothing else builds parts."""

from __future__ import annotations

import logging
import secrets
import signal
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from edge_daemon import __version__, doctor
from edge_daemon.backlog import Backlog
from edge_daemon.camera import Camera
from edge_daemon.classifier import Classifier
from edge_daemon.config import Config
from edge_daemon.detector import DetectorUnavailable, build_detector
from edge_daemon.event_feed import EventFeed
from edge_daemon.event_log import EventLog, EventLogError
from edge_daemon.events import Event, EventMaker
from edge_daemon.interpreter import ModelError, RuntimeUnavailable
from edge_daemon.latest import Latest
from edge_daemon.model_file import read_model_file
from edge_daemon.pipeline import Pipeline
from edge_daemon.smoothing import Smoother
from edge_daemon.source_choice import source_opener
from edge_daemon.sources import SourceError
from edge_daemon.state import StateReport
from edge_daemon.supervisor import Supervisor
from edge_daemon.tracker import Tracker
from edge_daemon.types import Frame, View
from edge_daemon.web import WebServer
from edge_daemon.workers import Stop, Worker

BACKLOG_EVENTS = 10_000
JOIN_S = 1.0
WATCH_S = 1.0  # how often main looks at the parts and tells systemd

log = logging.getLogger(__name__)


class BindError(ValueError):
    """The web server cannot listen where it should."""


# What can never work until the user mends it; each message says how.
USER_ERRORS = (
    BindError,
    DetectorUnavailable,
    EventLogError,
    ModelError,
    RuntimeUnavailable,
    SourceError,
)


def run(config: Config) -> int:
    """Run the daemon until SIGTERM, SIGINT or the end of a file; the exit code.

    Raises one of USER_ERRORS for what can never work.
    """
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.request())
    with ExitStack() as parts:
        _start(config, stop, parts)
    log.info("stopped")
    return 1 if stop.failure else 0


def _start(config: Config, stop: Stop, parts: ExitStack) -> None:
    """Build every part, start them from the sinks to the camera, and wait for the stop."""
    model_path = Path(config.model)
    model = read_model_file(model_path)
    classifier = Classifier(model, runtime=config.runtime)
    goldens = doctor.examine(classifier)
    detector = build_detector(
        config.detector.backend,
        models_dir=model_path.parent,
        min_score=config.detector.min_score,
        runtime=config.runtime,
    )
    parts.callback(detector.close)
    open_source = source_opener(
        config.camera.source,
        width=config.camera.width,
        height=config.camera.height,
        fps=config.camera.fps,
        loop=config.camera.loop,
    )

    frames: Latest[Frame] = Latest()
    views: Latest[View] = Latest()
    backlog: Backlog[Event] = Backlog(BACKLOG_EVENTS)
    feed = EventFeed([backlog])
    maker = EventMaker(
        labels=model.labels,
        common={
            "camera": config.camera.name,
            "run": secrets.token_hex(4),
            "model": {"name": model.name, "sha256": model.sha256},
        },
    )
    camera = Camera(
        open_source=open_source,
        frames=frames,
        timeout_s=config.camera.timeout_s,
        lossless=config.camera.lossless,
        on_failure=stop.fail,
    )
    pipeline = Pipeline(
        frames=frames,
        views=views,
        events=feed,
        detector=detector,
        tracker=Tracker(max_age_s=config.tracker.max_age_s),
        classifier=classifier,
        smoother=Smoother(
            labels=model.labels,
            half_life_s=config.smoothing.half_life_s,
            min_score=config.smoothing.min_score,
            min_margin=config.smoothing.min_margin,
            dwell_s=config.smoothing.dwell_s,
        ),
        maker=maker,
        camera_status=lambda: camera.status,
        blank_size=(config.camera.width, config.camera.height),
        max_faces=config.detector.max_faces,
        stop=stop.event,
    )
    event_log = EventLog(Path(config.events.path), backlog)
    report = StateReport(
        camera_name=config.camera.name,
        camera=camera,
        model=model,
        detector=detector.name,
        runtime=classifier.runtime,
        pipeline=pipeline,
        views=views,
        frames=frames,
        feed=feed,
        backlog=backlog,
    )
    web = WebServer(
        host=config.web.host,
        port=config.web.port,
        max_viewers=config.web.max_viewers,
        views=views,
        state=lambda: report.state(web.viewers),
        healthy=report.healthy,
        labels=model.labels,
        jpeg_quality=config.stream.quality,
        on_failure=stop.fail,
    )

    writer = Worker("event-log", event_log.run, stop)
    writer.start()
    parts.callback(writer.join, JOIN_S)
    parts.callback(backlog.close)
    _bind(web, config)
    parts.callback(web.stop)
    started_s = time.monotonic()
    feed.put(maker.note("daemon_start", datetime.now(UTC), version=__version__))
    parts.callback(_note_stop, feed, maker, started_s)
    pipeline_worker = Worker("pipeline", pipeline.run, stop)
    pipeline_worker.start()
    parts.callback(pipeline_worker.join, JOIN_S)
    parts.callback(stop.request)
    camera.start()
    parts.callback(camera.stop)
    log.info("detector: %s", detector.name)
    log.info("model: %s (%s), sha256 %s", model.path, model.name, model.sha256[:12])
    log.info("runtime: %s", classifier.runtime)
    log.info("goldens: %s", goldens)
    log.info("events: %s", event_log.path)
    host = f"[{config.web.host}]" if ":" in config.web.host else config.web.host
    log.info("watch: http://%s:%d/", host, web.port)
    _watch(stop, pipeline, camera, web, Supervisor())


def _bind(web: WebServer, config: Config) -> None:
    try:
        web.start()
    except OSError as error:
        raise BindError(
            f"web: {config.web.host}:{config.web.port} cannot be listened on: {error.strerror}; "
            "set web.host and web.port to an address that is free."
        ) from error


def _note_stop(feed: EventFeed, maker: EventMaker, started_s: float) -> None:
    up_s = round(time.monotonic() - started_s, 3)
    feed.put(maker.note("daemon_stop", datetime.now(UTC), duration_s=up_s))


def _watch(
    stop: Stop, pipeline: Pipeline, camera: Camera, web: WebServer, supervisor: Supervisor
) -> None:
    """Tell systemd of progress until the stop; the watchdog is fed only while frames move on."""
    supervisor.ready()
    turns = -1
    while not stop.event.wait(WATCH_S):
        progress = pipeline.progress
        if progress.turns != turns:
            turns = progress.turns
            supervisor.alive(
                f"{camera.status.state}, {progress.fps:.1f} frames/s, {web.viewers} viewers"
            )
        if camera.status.state == "ended":
            log.info("the source has ended")
            break
    supervisor.stopping()
