"""What the main thread does while the daemon runs: signals, reloads, the board, systemd."""

from __future__ import annotations

import logging
import signal
import time
from queue import Empty, SimpleQueue

from edge_daemon.capture.camera import Camera
from edge_daemon.core.threads import Stop
from edge_daemon.events.writer import EventLog
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.pipeline.throttle import Throttle
from edge_daemon.reload import Reloader
from edge_daemon.status.board import Board
from edge_daemon.systemd import Supervisor
from edge_daemon.web.app import WebServer

WATCH_S = 1.0  # how often it looks at the parts

log = logging.getLogger(__name__)


def catch_signals() -> SimpleQueue[int]:
    """The queue of the signals that come from now on.

    A queue, as its `put` is safe in a signal handler; an Event's `set` may wait for itself there.
    """
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda caught, _: signals.put(caught))
    return signals


class Watch:
    """Minds the running parts; `run` returns when the daemon is to stop.

    A `lossless` file waits, and every frame of it counts, whatever holds the board back.
    """

    def __init__(
        self,
        *,
        camera: Camera,
        pipeline: Pipeline,
        web: WebServer,
        event_log: EventLog,
        board: Board,
        throttle: Throttle,
        lossless: bool,
        reloader: Reloader,
        supervisor: Supervisor,
    ) -> None:
        self._camera, self._pipeline, self._web = camera, pipeline, web
        self._event_log = event_log
        self._board, self._throttle, self._lossless = board, throttle, lossless
        self._reloader, self._supervisor = reloader, supervisor
        self._turns = -1

    def run(self, signals: SimpleQueue[int], stop: Stop) -> None:
        """Until SIGTERM or SIGINT, the end of a file, or `stop`."""
        self._supervisor.ready()
        while not stop.event.is_set():
            number = _next(signals)
            if number in {signal.SIGTERM, signal.SIGINT}:
                break
            if number == signal.SIGHUP:
                self._reload()
            self._reloader.obey()
            self._reloader.look()
            self._look_at_board()
            self._tell()
            if self._camera.status.state == "ended":
                log.info("the source has ended")
                break
        self._supervisor.stopping()

    def _look_at_board(self) -> None:
        limits = self._board.read().limits
        if not self._lossless:
            self._throttle.update(limits, time.monotonic())

    def _reload(self) -> None:
        """SIGHUP: the log's file may have been moved away, the configuration been changed."""
        self._supervisor.reloading()
        self._event_log.reopen()
        self._reloader.reload()
        self._supervisor.ready()

    def _tell(self) -> None:
        """Feed systemd's watchdog, but only while frames move on."""
        progress, state = self._pipeline.progress, self._camera.status.state
        if progress.turns == self._turns:
            return
        self._turns = progress.turns
        rate = f"{progress.fps:.1f} frames/s"
        counts = f"faces: {progress.faces}, viewers: {self._web.viewers}"
        self._supervisor.alive(f"{state}, {rate}, {counts}")


def _next(signals: SimpleQueue[int]) -> int | None:
    """The next signal; None if none came for a while."""
    try:
        return signals.get(timeout=WATCH_S)
    except Empty:
        return None
