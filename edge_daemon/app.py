"""Runs the daemon: starts its parts in order, and stops them in reverse."""

from __future__ import annotations

import logging
import secrets
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from edge_daemon.capture.build import configured_source
from edge_daemon.config.file import ConfigSource
from edge_daemon.config.schema import Config
from edge_daemon.core.threads import Stop
from edge_daemon.events.build import check_log, lock_log, log_file
from edge_daemon.main_loop import MainLoop, catch_signals
from edge_daemon.memory import keep_frames
from edge_daemon.mqtt.build import build_connector
from edge_daemon.pipeline.build import build_stages
from edge_daemon.reload import ConfigChange, Reloader
from edge_daemon.settings import SettingsEditor
from edge_daemon.systemd import Supervisor
from edge_daemon.updates.build import with_fetched_model, with_working_model
from edge_daemon.updates.guard import ModelGuard
from edge_daemon.web.browser import open_in_browser
from edge_daemon.web.part import check_web
from edge_daemon.wiring import build

log = logging.getLogger(__name__)


def check(config: Config) -> None:
    """Run the checks of the daemon's start, without starting or writing anything.

    Loads the model and the detector, and looks at the source, the certificates, the files of
    webhooks and the log's folder. Raises UserError.
    """
    guard = ModelGuard(None)
    config = with_fetched_model(config, guard)
    configured_source(config)
    build_stages(config, "", guard.check).detector.close()
    check_log(config)
    check_web(config)
    if config.mqtt.host:
        build_connector(config, client_id="")
    if config.webhooks:
        from edge_daemon.webhooks.build import check_webhooks  # noqa: PLC0415 (loads requests)

        check_webhooks(config)


def run(source: ConfigSource, *, open_page: bool = False) -> int:
    """Run the daemon until SIGTERM, SIGINT or the end of a file; return the exit code.

    Reads the configuration from `source` now, and again at SIGHUP; `open_page` opens the page in
    the browser. Raises UserError if the daemon cannot start until the user fixes something.
    """
    config = source.load()
    signals, stop, run_id = catch_signals(), Stop(), secrets.token_hex(4)
    with ExitStack() as running:
        for lock in lock_log(config):
            running.callback(lock.release)
        log_path = log_file(config)
        guard = ModelGuard(log_path.with_suffix(".model") if log_path else None)
        wanted = with_fetched_model(config, guard)
        config = with_working_model(wanted, guard)
        changes: SimpleQueue[ConfigChange] = SimpleQueue()
        settings = SettingsEditor(source, changes, stop.event)
        daemon = build(config, stop, run_id, guard, settings)
        keep_frames()
        for part in daemon.parts:
            part.start()
            running.callback(part.stop)
        log.info("watch: %s", daemon.web.url)
        if open_page:
            open_in_browser(daemon.web.url)
        reloader = Reloader(
            running=config,
            load=lambda: with_fetched_model(source.load(), guard),
            parts=daemon.parts,
            commands=daemon.commands,
            changes=changes,
            model=Path(wanted.model),
        )
        loop = MainLoop(
            state=daemon.report.state,
            turns=lambda: daemon.pipeline.progress.turns,
            has_ended=lambda: daemon.camera.has_ended,
            reopen_log=daemon.event_log.reopen,
            check_clock=daemon.event_log.feed.check_clock,
            reloader=reloader,
            supervisor=Supervisor(),
        )
        loop.run(signals, stop)
        stop.request()
    log.info("stopped")
    return 1 if stop.failure else 0
