"""The composition root: a configuration in, a running daemon out. Nothing else builds parts."""

from __future__ import annotations

import logging
import secrets
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_daemon import __version__, doctor
from edge_daemon.backlog import Backlog
from edge_daemon.board import Board
from edge_daemon.camera import Camera, CameraStatus
from edge_daemon.classifier import Classifier
from edge_daemon.config import Config, ConfigError
from edge_daemon.detector import Detector, DetectorUnavailable, build_detector
from edge_daemon.event_feed import EventFeed
from edge_daemon.event_log import EventLog, EventLogError
from edge_daemon.events import Event, EventMaker
from edge_daemon.file_reader import FileReader
from edge_daemon.interpreter import ModelError, RuntimeUnavailable
from edge_daemon.latest import Latest
from edge_daemon.metrics import Metrics, StageTimes
from edge_daemon.model_file import read_model_file
from edge_daemon.pace import Pace
from edge_daemon.pipeline import Pipeline
from edge_daemon.slow_down import SlowDown
from edge_daemon.smoothing import Smoother
from edge_daemon.source_choice import OpenSource, source_opener
from edge_daemon.sources import SourceError
from edge_daemon.state import StateReport
from edge_daemon.still import StillReader
from edge_daemon.supervisor import Supervisor
from edge_daemon.tracker import Tracker
from edge_daemon.types import Frame, View
from edge_daemon.web import WebServer
from edge_daemon.workers import Stop, Worker

BACKLOG_EVENTS = 10_000
JOIN_S = 1.0
STILL_FACES = 32  # looked at in a single picture
WATCH_S = 1.0  # how often main looks at the parts and tells systemd

log = logging.getLogger(__name__)


class BindError(ValueError):
    """The web server cannot listen where it should."""


# What can never work until the user mends it; each message says how.
USER_ERRORS = (
    BindError,
    ConfigError,
    DetectorUnavailable,
    EventLogError,
    ModelError,
    RuntimeUnavailable,
    SourceError,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """The daemon's parts, built and not yet started."""

    detector: Detector
    classifier: Classifier
    goldens: str
    maker: EventMaker
    feed: EventFeed
    backlog: Backlog[Event]
    event_log: EventLog
    camera: Camera
    pipeline: Pipeline
    board: Board
    slow_down: SlowDown
    web: WebServer


def run(config: Config) -> int:
    """Run the daemon until SIGTERM, SIGINT or the end of a file; the exit code.

    Raises one of USER_ERRORS for what can never work.
    """
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.request())
    with ExitStack() as running:
        parts = build(config, stop)
        running.callback(parts.detector.close)
        _start(parts, config, stop, running)
        _describe(parts, config)
        _watch(parts, config, stop, Supervisor())
    log.info("stopped")
    return 1 if stop.failure else 0


def build(config: Config, stop: Stop) -> Parts:
    """Build every part from the configuration; `stop` hears of failures in their threads."""
    classifier = Classifier(read_model_file(Path(config.model)), runtime=config.runtime)
    goldens = doctor.examine(classifier)
    detector = _detector(config)
    frames: Latest[Frame] = Latest()
    views: Latest[View] = Latest()
    backlog: Backlog[Event] = Backlog(BACKLOG_EVENTS)
    feed = EventFeed([backlog])
    board, slow_down = Board(), SlowDown()
    times = StageTimes()
    maker = _maker(config, classifier)
    camera = Camera(
        open_source=_source(config),
        frames=frames,
        timeout_s=config.camera.timeout_s,
        lossless=config.camera.lossless,
        on_failure=stop.fail,
        check_frozen=config.camera.check_frozen,
        on_lost=lambda loss: feed.put(
            maker.note("camera_lost", loss.at, cause=loss.cause, reason=loss.reason)
        ),
        on_restored=lambda at, gone_s: feed.put(
            maker.note("camera_restored", at, duration_s=round(gone_s, 3))
        ),
    )
    pipeline = Pipeline(
        frames=frames,
        views=views,
        events=feed,
        pace=_pace(config, lossless=config.camera.lossless),
        detector=detector,
        tracker=Tracker(max_age_s=config.tracker.max_age_s),
        classifier=classifier,
        smoother=_smoother(config, classifier),
        maker=maker,
        camera_status=lambda: camera.status,
        blank_size=(config.camera.width, config.camera.height),
        max_faces=config.detector.max_faces,
        min_face_px=config.detector.min_face_px,
        stop=stop.event,
        slow_down=slow_down,
        observe=times.observe,
    )
    report = StateReport(
        camera_name=config.camera.name,
        camera=camera,
        model=classifier.model,
        detector=detector.name,
        runtime=classifier.runtime,
        pipeline=pipeline,
        views=views,
        feed=feed,
        backlog=backlog,
        board=board,
        slow_down=slow_down,
        stage_means_ms=times.means_ms,
    )
    metrics = Metrics(
        times=times,
        camera_name=config.camera.name,
        camera=camera,
        pipeline=pipeline,
        detector=detector.name,
        classifier=classifier,
        views=views,
        feed=feed,
        backlog=backlog,
        board=board,
        slow_down=slow_down,
        viewers=lambda: web.viewers,
    )
    event_log = EventLog(Path(config.events.path), backlog)
    web = _web(config, classifier, views, report, metrics=metrics, on_failure=stop.fail)
    return Parts(
        detector=detector,
        classifier=classifier,
        goldens=goldens,
        maker=maker,
        feed=feed,
        backlog=backlog,
        event_log=event_log,
        camera=camera,
        pipeline=pipeline,
        board=board,
        slow_down=slow_down,
        web=web,
    )


def _source(config: Config) -> OpenSource:
    return source_opener(
        config.camera.source,
        width=config.camera.width,
        height=config.camera.height,
        fps=config.camera.fps,
        loop=config.camera.loop,
        pixel_format=config.camera.pixel_format,
    )


def _maker(config: Config, classifier: Classifier) -> EventMaker:
    model = classifier.model
    return EventMaker(
        labels=model.labels,
        common={
            "camera": config.camera.name,
            "run": secrets.token_hex(4),
            "model": {"name": model.name, "sha256": model.sha256},
        },
    )


def _pace(config: Config, *, lossless: bool) -> Pace:
    """A lossless file waits for its frames: there is no rate to keep, and runs are to be equal."""
    chosen = config.detector.interval
    adapted = 1 if lossless else None
    interval = adapted if chosen == "auto" else chosen
    return Pace(interval=interval, max_gap_s=config.tracker.max_age_s / 2)


def _smoother(config: Config, classifier: Classifier) -> Smoother:
    labels = classifier.model.labels
    unknown = sorted(set(config.smoothing.label_min_scores) - set(labels))
    if unknown:
        raise ConfigError(
            f"smoothing.label_min_scores: {config.model} has no label {unknown[0]!r}; "
            f"its labels are {', '.join(labels)}."
        )
    return Smoother(
        labels=labels,
        half_life_s=config.smoothing.half_life_s,
        min_score=config.smoothing.min_score,
        label_min_scores=config.smoothing.label_min_scores,
        min_margin=config.smoothing.min_margin,
        hysteresis=config.smoothing.hysteresis,
        dwell_s=config.smoothing.dwell_s,
    )


def _web(
    config: Config,
    classifier: Classifier,
    views: Latest[View],
    report: StateReport,
    *,
    metrics: Metrics,
    on_failure: Callable[[BaseException], None],
) -> WebServer:
    web = WebServer(
        host=config.web.host,
        port=config.web.port,
        max_viewers=config.web.max_viewers,
        views=views,
        state=lambda: report.state(web.viewers),
        healthy=report.healthy,
        metrics=metrics.text,
        labels=classifier.model.labels,
        jpeg_quality=config.stream.quality,
        on_failure=on_failure,
    )
    return web


def build_reader(config: Config) -> FileReader:
    """Build what reads pictures and videos, with the stages and the settings of the daemon."""
    classifier = Classifier(read_model_file(Path(config.model)), runtime=config.runtime)
    doctor.examine(classifier)
    detector = _detector(config)

    def pipeline() -> Pipeline:
        return Pipeline(
            frames=Latest(),
            views=Latest(),
            events=EventFeed([]),
            pace=_pace(config, lossless=True),
            detector=detector,
            tracker=Tracker(max_age_s=config.tracker.max_age_s),
            classifier=classifier,
            smoother=_smoother(config, classifier),
            maker=_maker(config, classifier),
            camera_status=lambda: CameraStatus("ok", "", "", None),
            blank_size=(config.camera.width, config.camera.height),
            max_faces=config.detector.max_faces,
            min_face_px=config.detector.min_face_px,
            stop=threading.Event(),
        )

    return FileReader(
        labels=classifier.model.labels,
        stills=StillReader(lambda: (detector, classifier), max_faces=STILL_FACES),
        build_pipeline=pipeline,
        close=detector.close,
    )


def _detector(config: Config) -> Detector:
    return build_detector(
        config.detector.backend,
        models_dir=Path(config.model).parent,
        face_range=config.detector.range,
        min_score=config.detector.min_score,
        runtime=config.runtime,
    )


def _start(parts: Parts, config: Config, stop: Stop, running: ExitStack) -> None:
    """Start from the sinks to the camera; `running` then stops them in the reverse order."""
    writer = Worker("event-log", parts.event_log.run, stop)
    writer.start()
    running.callback(writer.join, JOIN_S)
    running.callback(parts.backlog.close)
    _bind(parts.web, config)
    running.callback(parts.web.stop)
    started_s = time.monotonic()
    parts.feed.put(parts.maker.note("daemon_start", datetime.now(UTC), version=__version__))
    running.callback(_note_stop, parts.feed, parts.maker, started_s)
    pipeline = Worker("pipeline", parts.pipeline.run, stop)
    pipeline.start()
    running.callback(pipeline.join, JOIN_S)
    running.callback(stop.request)
    parts.camera.start()
    running.callback(parts.camera.stop)


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


def _describe(parts: Parts, config: Config) -> None:
    """Say in the log what runs; the camera says for itself what it is."""
    model = parts.classifier.model
    log.info("detector: %s", parts.detector.name)
    log.info("model: %s (%s), sha256 %s", model.path, model.name, model.sha256[:12])
    log.info("runtime: %s", parts.classifier.runtime)
    log.info("goldens: %s", parts.goldens)
    log.info("events: %s", parts.event_log.path)
    host = f"[{config.web.host}]" if ":" in config.web.host else config.web.host
    log.info("watch: http://%s:%d/", host, parts.web.port)


def _watch(parts: Parts, config: Config, stop: Stop, supervisor: Supervisor) -> None:
    """Tell systemd of progress until the stop; the watchdog is fed only while frames move on."""
    supervisor.ready()
    turns = -1
    while not stop.event.wait(WATCH_S):
        if not config.camera.lossless:  # such a file waits, and every frame of it counts
            parts.slow_down.judge(parts.board.read().limits, time.monotonic())
        progress, state = parts.pipeline.progress, parts.camera.status.state
        if progress.turns != turns:
            turns = progress.turns
            supervisor.alive(f"{state}, {progress.fps:.1f} frames/s, {parts.web.viewers} viewers")
        if state == "ended":
            log.info("the source has ended")
            break
    supervisor.stopping()
