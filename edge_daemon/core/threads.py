"""Threads, and the request to stop; a thread that fails stops the daemon for systemd to restart."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from edge_daemon.core.errors import UserError

JOIN_S: Final = 1.0  # how long a stopping part waits for its thread

log = logging.getLogger(__name__)


class RestartNeeded(RuntimeError):
    """A known failure that only a new process can recover from; the message describes it."""


class Stop:
    """The request to stop the daemon, and the failure that caused it, if one did."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.failure: BaseException | None = None

    def request(self) -> None:
        """Stop the daemon."""
        self.event.set()

    def fail(self, error: BaseException) -> None:
        """Stop the daemon because a thread raised `error`; the first failure is kept."""
        if isinstance(error, RestartNeeded | UserError):
            log.critical("%s", error)
        else:
            log.critical("unexpected failure", exc_info=error)
        if self.failure is None:
            self.failure = error
        self.event.set()


class Worker:
    """A named thread that runs `body`.

    `on_failure`, for instance `Stop.fail`, is called in that thread with the exception that `body`
    raises.
    """

    def __init__(
        self, name: str, body: Callable[[], None], on_failure: Callable[[BaseException], None]
    ) -> None:
        self._body, self._on_failure = body, on_failure
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended, if it was started; False after `timeout_s`."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._body()
        except BaseException as error:  # the thread's boundary
            self._on_failure(error)
