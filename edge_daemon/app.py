"""The composition root: a configuration in, a running daemon out. Nothing else builds parts."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_daemon import __version__, doctor
from edge_daemon.backlog import Backlog
from edge_daemon.board import Board
from edge_daemon.camera import Camera, CameraStatus
from edge_daemon.classifier import Classifier
from edge_daemon.config import Config
from edge_daemon.config_file import ConfigError
from edge_daemon.detector import Detector, DetectorUnavailable, build_detector
from edge_daemon.event_feed import EventFeed
from edge_daemon.event_history import EventHistory
from edge_daemon.event_log import EventLog, EventLogError
from edge_daemon.events import Event, EventMaker
from edge_daemon.file_reader import FileReader
from edge_daemon.http_server import CertificateError, Tls
from edge_daemon.interpreter import ModelError, RuntimeUnavailable
from edge_daemon.latest import Latest
from edge_daemon.metrics import Metrics, StageTimes
from edge_daemon.model_file import read_model_file
from edge_daemon.pace import Pace
from edge_daemon.pipeline import Pipeline
from edge_daemon.privacy import WEAK_SCORE
from edge_daemon.ram_log import RamLog
from edge_daemon.reload import Reloader
from edge_daemon.rotating_log import LogPolicy, RotatingLog
from edge_daemon.slow_down import SlowDown
from edge_daemon.smoothing import Smoother
from edge_daemon.snapshots import Shot, SnapshotPolicy, Snapshots
from edge_daemon.source_choice import OpenSource, source_opener
from edge_daemon.sources import SourceError
from edge_daemon.stages import Stages
from edge_daemon.state import StateReport
from edge_daemon.still import BuildParts, StillReader
from edge_daemon.supervisor import Supervisor
from edge_daemon.tracker import Tracker
from edge_daemon.types import Drawing, Frame, View
from edge_daemon.watch import Watch, catch_signals
from edge_daemon.web import WebServer
from edge_daemon.workers import Stop, Worker

BACKLOG_EVENTS = 10_000
BACKLOG_SHOTS = 8  # each holds a whole picture
DAY_S = 86400.0
JOIN_S = 1.0
STILL_FACES = 32  # looked at in a single picture

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

    camera: Camera
    pipeline: Pipeline
    board: Board
    slow_down: SlowDown
    feed: EventFeed
    backlog: Backlog[Event]
    disk: RotatingLog
    event_log: EventLog
    shots: Backlog[Shot]
    snapshots: Snapshots
    stills: StillReader
    web: WebServer


def run(config: Config, load: Callable[[], Config]) -> int:
    """Run the daemon until SIGTERM, SIGINT or the end of a file; the exit code.

    `load` reads the configuration again, for SIGHUP. Raises one of USER_ERRORS for what can never
    work.
    """
    signals, stop, run_id = catch_signals(), Stop(), secrets.token_hex(4)
    with ExitStack() as running:
        parts = build(config, stop, run_id)
        running.callback(parts.pipeline.close)
        _start(parts, config, stop, running)
        _describe(parts, config)
        reloader = Reloader(
            running=config,
            load=load,
            build=lambda wanted: build_stages(wanted, run_id),
            apply=lambda wanted, stages: _apply(parts, wanted, stages),
            errors=USER_ERRORS,
        )
        watch = Watch(
            camera=parts.camera,
            pipeline=parts.pipeline,
            web=parts.web,
            event_log=parts.event_log,
            board=parts.board,
            slow_down=parts.slow_down,
            lossless=config.camera.lossless,
            reloader=reloader,
            supervisor=Supervisor(),
        )
        watch.run(signals, stop)
    log.info("stopped")
    return 1 if stop.failure else 0


def build(config: Config, stop: Stop, run_id: str) -> Parts:
    """Build every part from the configuration; `stop` hears of failures in their threads."""
    frames: Latest[Frame] = Latest()
    views: Latest[View] = Latest()
    backlog: Backlog[Event] = Backlog(BACKLOG_EVENTS)
    shots: Backlog[Shot] = Backlog(BACKLOG_SHOTS)
    feed = EventFeed([backlog])
    board, slow_down, times = Board(), SlowDown(), StageTimes()
    stages = build_stages(config, run_id)
    disk = RotatingLog(Path(config.events.path), _log_policy(config))
    event_log = EventLog(disk.path, _store(config, disk), backlog)
    snapshots = Snapshots(Path(config.snapshots.path), _snapshot_policy(config), shots)

    def put_note(kind: str, at: datetime, **fields: object) -> None:
        feed.put(pipeline.stages.maker.note(kind, at, **fields))

    camera = Camera(
        open_source=_source(config),
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
        camera_status=lambda: camera.status,
        blank_size=(config.camera.width, config.camera.height),
        stop=stop.event,
        slow_down=slow_down,
        observe=times.observe,
    )
    report = StateReport(
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
        slow_down=slow_down,
        stage_means_ms=times.means_ms,
    )
    metrics = Metrics(
        times=times,
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
        slow_down=slow_down,
        viewers=lambda: web.viewers,
    )
    stills = StillReader(_still_parts(config, stages), max_faces=STILL_FACES)
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
    return Parts(
        camera=camera,
        pipeline=pipeline,
        board=board,
        slow_down=slow_down,
        feed=feed,
        backlog=backlog,
        disk=disk,
        event_log=event_log,
        shots=shots,
        snapshots=snapshots,
        stills=stills,
        web=web,
    )


def build_stages(config: Config, run_id: str) -> Stages:
    """Build what a frame goes through; the model must answer here as where it was converted."""
    classifier = Classifier(read_model_file(Path(config.model)), runtime=config.runtime)
    goldens = doctor.examine(classifier)
    min_score = config.detector.min_score
    detector = _detector(
        config, min(min_score, WEAK_SCORE) if config.privacy.blur_faces else min_score
    )
    log.info("goldens: %s", goldens)
    return _stages(config, run_id, detector, classifier)


def _stages(config: Config, run_id: str, detector: Detector, classifier: Classifier) -> Stages:
    """`detector` and `classifier` among stages that have seen nothing yet."""
    model = classifier.model
    return Stages(
        pace=_pace(config),
        detector=detector,
        tracker=Tracker(max_age_s=config.tracker.max_age_s),
        classifier=classifier,
        smoother=_smoother(config, model.labels),
        maker=EventMaker(
            labels=model.labels,
            common={
                "camera": config.camera.name,
                "run": run_id,
                "model": {"name": model.name, "sha256": model.sha256},
            },
            dwell_s=config.events.dwell_s,
            cooldown_s=config.events.cooldown_s,
            update_s=config.events.update_s,
        ),
        drawing=Drawing(
            labels=model.labels,
            quality=config.stream.quality,
            blur=config.privacy.blur_faces,
            show=config.privacy.stream,
        ),
        min_score=config.detector.min_score,
        max_faces=config.detector.max_faces,
        min_face_px=config.detector.min_face_px,
        snapshot_types=frozenset(config.snapshots.types if config.snapshots.enabled else ()),
    )


def _pace(config: Config) -> Pace:
    """Where faces are to be blurred, no frame is shown that was not searched.

    A lossless file waits for its frames: there is no rate to keep, and runs are to be equal.
    """
    chosen = config.detector.interval
    adapted = 1 if config.camera.lossless else None
    interval = adapted if chosen == "auto" else chosen
    return Pace(
        interval=1 if config.privacy.blur_faces else interval,
        max_gap_s=config.tracker.max_age_s / 2,
    )


def _smoother(config: Config, labels: Sequence[str]) -> Smoother:
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


def _source(config: Config) -> OpenSource:
    return source_opener(
        config.camera.source,
        width=config.camera.width,
        height=config.camera.height,
        fps=config.camera.fps,
        loop=config.camera.loop,
        pixel_format=config.camera.pixel_format,
    )


def _store(config: Config, disk: RotatingLog) -> RotatingLog | RamLog:
    folder = config.events.ram_dir
    return RamLog(Path(folder), disk) if folder else disk


def _log_policy(config: Config) -> LogPolicy:
    events = config.events
    return LogPolicy(
        rotate_bytes=events.rotate_mb * 1e6,
        rotate_s=events.rotate_h * 3600,
        keep_bytes=events.keep_mb * 1e6,
        keep_s=events.keep_days * DAY_S,
        fsync=events.fsync,
        flush_s=events.ram_flush_s,
    )


def _snapshot_policy(config: Config) -> SnapshotPolicy:
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


def _still_parts(config: Config, stages: Stages) -> BuildParts:
    """A detector and a classifier for uploaded pictures: those of the stages are the pipeline's."""
    model = stages.classifier.model
    return lambda: (
        _detector(config, config.detector.min_score),
        Classifier(model, runtime=config.runtime),
    )


def build_reader(config: Config) -> FileReader:
    """Build what reads pictures and videos, with the stages and the settings of the daemon."""
    lossless = config.camera.model_copy(update={"lossless": True})
    no_pictures = config.snapshots.model_copy(update={"enabled": False})
    config = config.model_copy(update={"camera": lossless, "snapshots": no_pictures})
    first = build_stages(config, "")
    sure = _detector(config, config.detector.min_score)

    def pipeline() -> Pipeline:
        return Pipeline(
            frames=Latest(),
            views=Latest(),
            events=EventFeed([]),
            shots=Backlog(BACKLOG_SHOTS),
            stages=_stages(config, "", first.detector, first.classifier),
            camera_status=lambda: CameraStatus("ok", "", "", None),
            blank_size=(config.camera.width, config.camera.height),
            stop=threading.Event(),
        )

    def close() -> None:
        first.detector.close()
        sure.close()

    return FileReader(
        drawing=first.drawing,
        detect=first.detector.detect,
        stills=StillReader(lambda: (sure, first.classifier), max_faces=STILL_FACES),
        build_pipeline=pipeline,
        close=close,
    )


def _detector(config: Config, min_score: float) -> Detector:
    return build_detector(
        config.detector.backend,
        models_dir=Path(config.model).parent,
        face_range=config.detector.range,
        min_score=min_score,
        runtime=config.runtime,
    )


def _start(parts: Parts, config: Config, stop: Stop, running: ExitStack) -> None:
    """Start from the sinks to the camera; `running` then stops them in the reverse order."""
    for name, body, backlog in (
        ("event-log", parts.event_log.run, parts.backlog),
        ("snapshots", parts.snapshots.run, parts.shots),
    ):
        writer = Worker(name, body, stop)
        writer.start()
        running.callback(writer.join, JOIN_S)
        running.callback(backlog.close)
    _bind(parts.web, config)
    running.callback(parts.web.stop)
    started_s = time.monotonic()
    _put_note(parts, "daemon_start", version=__version__)
    running.callback(_note_stop, parts, started_s)
    pipeline = Worker("pipeline", parts.pipeline.run, stop)
    pipeline.start()
    running.callback(pipeline.join, JOIN_S)
    running.callback(stop.request)
    parts.camera.start()
    running.callback(parts.camera.stop)


def _bind(web: WebServer, config: Config) -> None:
    try:
        web.start()
    except CertificateError as error:
        raise BindError(f"web: {error}") from error
    except OSError as error:
        raise BindError(
            f"web: {config.web.host}:{config.web.port} cannot be listened on: {error.strerror}; "
            "set web.host and web.port to an address that is free."
        ) from error


def _put_note(parts: Parts, kind: str, **fields: object) -> None:
    parts.feed.put(parts.pipeline.stages.maker.note(kind, datetime.now(UTC), **fields))


def _note_stop(parts: Parts, started_s: float) -> None:
    _put_note(parts, "daemon_stop", duration_s=round(time.monotonic() - started_s, 3))


def _apply(parts: Parts, config: Config, stages: Stages) -> None:
    """Put a configuration that has proved itself to work, all but what needs a restart."""
    parts.disk.policy = _log_policy(config)
    parts.snapshots.policy = _snapshot_policy(config)
    parts.stills.build = _still_parts(config, stages)
    parts.pipeline.swap(stages)


def _describe(parts: Parts, config: Config) -> None:
    """Say in the log what runs; the camera says for itself what it is."""
    stages = parts.pipeline.stages
    model = stages.classifier.model
    log.info("detector: %s", stages.detector.name)
    log.info("model: %s (%s), sha256 %s", model.path, model.name, model.sha256[:12])
    log.info("runtime: %s", stages.classifier.runtime)
    log.info("events: %s", parts.event_log.path)
    host = f"[{config.web.host}]" if ":" in config.web.host else config.web.host
    scheme = "https" if config.web.tls_certificate else "http"
    log.info("watch: %s://%s:%d/", scheme, host, parts.web.port)
    if config.web.unguarded:
        log.warning("web: no password, and %s is open to the network: web.auth is none", host)
