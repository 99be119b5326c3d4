"""Threads whose unexpected exception ends the process: systemd restarts it clean."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class GiveUp(RuntimeError):
    """What went wrong is known, and only a new process can mend it; the message says so."""


class Stop:
    """The one wish to stop, with the failure that caused it, if it was one."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.failure: BaseException | None = None

    def request(self) -> None:
        self.event.set()

    def fail(self, error: BaseException) -> None:
        """Stop because a thread's work ended with `error`; the first one counts."""
        if isinstance(error, GiveUp):
            log.critical("%s", error)
        else:
            log.critical("unexpected failure", exc_info=error)
        if self.failure is None:
            self.failure = error
        self.event.set()


class Worker:
    """A named thread that runs `body` and reports what it raises to `stop`."""

    def __init__(self, name: str, body: Callable[[], None], stop: Stop) -> None:
        self._body, self._stop = body, stop
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; False if it has not come after `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._body()
        except BaseException as error:  # the thread's boundary
            self._stop.fail(error)
