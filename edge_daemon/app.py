"""Runs the daemon: starts its parts from the sinks to the camera, and stops them in reverse."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime

from edge_daemon import __version__
from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError
from edge_daemon.core.threads import Stop, Worker
from edge_daemon.events.build import log_policy, snapshot_policy
from edge_daemon.main_loop import Watch, catch_signals
from edge_daemon.memory import settle_heap
from edge_daemon.pipeline.build import build_stages, still_parts
from edge_daemon.pipeline.stages import Stages
from edge_daemon.reload import Reloader
from edge_daemon.systemd import Supervisor
from edge_daemon.updates.build import with_kept_model
from edge_daemon.web.app import WebServer
from edge_daemon.web.server.server import CertificateError
from edge_daemon.wiring import Parts, build

JOIN_S = 1.0

log = logging.getLogger(__name__)


class BindError(UserError):
    """The web server cannot listen where it should."""


def run(config: Config, load: Callable[[], Config]) -> int:
    """Run the daemon until SIGTERM, SIGINT or the end of a file; the exit code.

    `load` reads the configuration again, for SIGHUP. Raises UserError for what can never work until
    the user fixes it.
    """
    signals, stop, run_id = catch_signals(), Stop(), secrets.token_hex(4)
    config = with_kept_model(config)
    with ExitStack() as running:
        parts = build(config, stop, run_id)
        running.callback(parts.pipeline.close)
        settle_heap()
        _start(parts, config, stop, running)
        _describe(parts, config)
        reloader = Reloader(
            running=config,
            load=lambda: with_kept_model(load()),
            build=lambda wanted: build_stages(wanted, run_id),
            apply=lambda wanted, stages: _apply(parts, wanted, stages),
            commands=parts.commands,
        )
        watch = Watch(
            camera=parts.camera,
            pipeline=parts.pipeline,
            web=parts.web,
            event_log=parts.event_log,
            board=parts.board,
            throttle=parts.throttle,
            lossless=config.camera.lossless,
            reloader=reloader,
            supervisor=Supervisor(),
        )
        watch.run(signals, stop)
    log.info("stopped")
    return 1 if stop.failure else 0


def _start(parts: Parts, config: Config, stop: Stop, running: ExitStack) -> None:
    """Start from the sinks to the camera; `running` then stops them in the reverse order."""
    for name, body, backlog in (
        ("event-log", parts.event_log.run, parts.backlog),
        ("snapshots", parts.snapshots.run, parts.shots),
    ):
        writer = Worker(name, body, stop.fail)
        writer.start()
        running.callback(writer.join, JOIN_S)
        running.callback(backlog.close)
    _bind(parts.web, config)
    running.callback(parts.web.stop)
    if parts.mqtt is not None:
        link = Worker("mqtt", parts.mqtt.run, stop.fail)
        link.start()
        running.callback(link.join, JOIN_S)
        running.callback(parts.mqtt.close)
    started_s = time.monotonic()
    _put_note(parts, "daemon_start", version=__version__)
    running.callback(_note_stop, parts, started_s)
    pipeline = Worker("pipeline", parts.pipeline.run, stop.fail)
    pipeline.start()
    running.callback(pipeline.join, JOIN_S)
    running.callback(stop.request)
    parts.camera.start()
    running.callback(parts.camera.stop)
    if parts.updater is not None:
        updates = Worker("updates", parts.updater.run, stop.fail)
        updates.start()
        running.callback(updates.join, JOIN_S)
        running.callback(stop.request)


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
    parts.feed.put(parts.pipeline.stages.maker.make(kind, datetime.now(UTC), **fields))


def _note_stop(parts: Parts, started_s: float) -> None:
    _put_note(parts, "daemon_stop", duration_s=round(time.monotonic() - started_s, 3))


def _apply(parts: Parts, config: Config, stages: Stages) -> None:
    """Put a configuration that has proved itself to work, all but what needs a restart."""
    parts.event_log.adopt(log_policy(config))
    parts.snapshots.policy = snapshot_policy(config)
    parts.stills.build = still_parts(config, stages)
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
