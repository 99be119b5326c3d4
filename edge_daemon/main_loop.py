"""The loop of the main thread: serves signals, reloads and systemd's watchdog."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from edge_daemon.core.threads import Stop
from edge_daemon.memory import HeapTrimmer
from edge_daemon.reload import Reloader
from edge_daemon.systemd import Supervisor

TURN_S = 1.0  # the longest time between two turns of the loop

log = logging.getLogger(__name__)


def catch_signals() -> SimpleQueue[int]:
    """Return the queue of the signals that arrive from now on.

    A queue, because its `put` is safe in a signal handler; `Event.set` could deadlock there.
    """
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda caught, _: signals.put(caught))
    return signals


class MainLoop:
    """Serves signals, reloads and the supervisor; `run` returns when the daemon has to stop.

    `state` returns the answer of `/state`, `turns` a number that grows while the pipeline's thread
    lives, and `has_ended` whether the source is a file that was played to its end.
    """

    def __init__(
        self,
        *,
        state: Callable[[], dict[str, Any]],
        turns: Callable[[], int],
        has_ended: Callable[[], bool],
        reopen_log: Callable[[], None],
        check_clock: Callable[[], None],
        reloader: Reloader,
        supervisor: Supervisor,
    ) -> None:
        self._state, self._turns, self._has_ended = state, turns, has_ended
        self._reopen_log, self._check_clock = reopen_log, check_clock
        self._reloader, self._supervisor = reloader, supervisor
        self._last_turns = -1
        self._heap = HeapTrimmer()

    def run(self, signals: SimpleQueue[int], stop: Stop) -> None:
        """Run until SIGTERM or SIGINT, the end of a file, or `stop`."""
        self._supervisor.ready()
        while not stop.event.is_set():
            arrived = _arrived(signals)
            if arrived & {signal.SIGTERM, signal.SIGINT}:
                break
            if signal.SIGHUP in arrived:
                self._reload()
            self._reloader.run_commands()
            self._reloader.run_changes()
            self._reloader.check_model()
            self._check_clock()
            self._feed_watchdog()
            self._heap.check()
            if self._has_ended():
                log.info("the source has ended")
                break
        self._supervisor.stopping()

    def _reload(self) -> None:
        """Reopen the log, which may have been moved, and read the configuration again."""
        self._supervisor.reloading()
        self._reopen_log()
        self._reloader.reload()
        self._supervisor.ready()

    def _feed_watchdog(self) -> None:
        """Feed systemd's watchdog, but only while the pipeline makes progress."""
        turns = self._turns()
        if turns == self._last_turns or not self._supervisor.is_present:
            return
        self._last_turns = turns
        state = self._state()
        counts = f"faces: {len(state['faces'])}, viewers: {state['viewers']}"
        self._supervisor.alive(f"{state['camera']['state']}, {state['fps']} frames/s, {counts}")


def _arrived(signals: SimpleQueue[int]) -> set[int]:
    """Wait for signals, at most TURN_S; return each kind that arrived once."""
    arrived: set[int] = set()
    with suppress(Empty):
        arrived.add(signals.get(timeout=TURN_S))
        while True:
            arrived.add(signals.get_nowait())
    return arrived
