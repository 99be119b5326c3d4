"""Writes events to the log in a separate thread, and waits for a disk that fails."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from edge_daemon.core.errors import UserError
from edge_daemon.core.slots import Backlog
from edge_daemon.events.events import Event
from edge_daemon.events.rotating import LogPolicy

TICK_S: Final = 1.0  # how often it syncs, tidies, and retries a disk that fails
IDLE_TICK_S: Final = 5.0  # the same after IDLE_TICKS without an event, while nothing fails
IDLE_TICKS: Final = 10  # so that events in RAM are flushed in time, also every 10 s

# Errors that a disk may recover from; at the start, the user has to fix all others.
TRANSIENT: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})

log = logging.getLogger(__name__)


class EventLogError(UserError):
    """The log cannot be opened for writing; the message names the file."""


class LogStore(Protocol):
    """Stores the log's lines. Each method may raise OSError, and may then be called again."""

    def adopt(self, policy: LogPolicy) -> None:
        """Follow another policy from now on."""

    def open(self) -> None:
        """Check that lines can be written."""

    def append(self, lines: bytes) -> None:
        """Write whole lines, all or nothing."""

    def sync(self) -> None:
        """Do what is due so that written lines survive a power cut."""

    def tidy(self) -> bool:
        """Do one small step of maintenance; return whether there is more to do."""

    def reopen(self) -> None:
        """Open the file again before the next line; it may have been moved away."""

    def close(self) -> None:
        """Sync and close."""


@dataclass(frozen=True, slots=True)
class LogStatus:
    """The state of the log; `reason` is "" while it can be written, else why it cannot."""

    reason: str = ""
    written: int = 0  # events since the start
    failures: int = 0  # how often the disk began to fail


class EventLog:
    """Writes each event as a line, at once.

    If a line cannot be written (disk full or read-only), it is tried again every second, and newer
    events wait in the backlog. `path` names the log in messages. Raises EventLogError if the log
    cannot work until the user fixes something.
    """

    def __init__(self, path: Path, store: LogStore, backlog: Backlog[Event]) -> None:
        self.path = path
        self.status = LogStatus()
        self._store = store
        self._backlog = backlog
        self._reopen = threading.Event()
        self._reasons: dict[str, str] = {}
        self._check()

    def adopt(self, policy: LogPolicy) -> None:
        """Follow another policy from the next event on."""
        self._store.adopt(policy)

    def reopen(self) -> None:
        """Make the log's thread open its file again, after another program moved it away."""
        self._reopen.set()

    def run(self) -> None:
        """Write events until the backlog is closed and empty: the body of the log's thread."""
        wait_s, idle_ticks = 0.0, 0
        while not self._backlog.drained:
            event = self._backlog.get(wait_s)
            if event is not None and not self._write(event):
                break
            more_to_tidy = self._maintain()
            idle_ticks = idle_ticks + 1 if event is None and not self.status.reason else 0
            wait_s = IDLE_TICK_S if idle_ticks > IDLE_TICKS else TICK_S
            wait_s = 0.0 if more_to_tidy else wait_s
        self._try("sync", self._store.close)

    def _check(self) -> None:
        """Open the log once, so that errors that the user has to fix are found at the start."""
        try:
            self._store.open()
        except OSError as error:
            if error.errno not in TRANSIENT:
                raise EventLogError(
                    f"{self.path}: the event log cannot be written: {error.strerror}; "
                    "set `events.path` to a file this user may write, or to - for standard output."
                ) from error
            self._record("write", error)

    def _write(self, event: Event) -> bool:
        """Write the event, waiting for a disk that fails; False if the daemon stops before."""
        line = event.as_line().encode()
        while not self._try("write", lambda: self._store.append(line)):
            if self._backlog.wait_closed(TICK_S):
                lost = 1 + len(self._backlog)
                log.error("%s: %d events could not be written before the stop", self.path, lost)
                return False
            self._reopen_if_asked()
        self.status = replace(self.status, written=self.status.written + 1)
        return True

    def _maintain(self) -> bool:
        """Reopen if asked, sync, and do one step of tidying; return whether there is more to tidy.

        A step takes milliseconds. It is also done between events, because otherwise a log with an
        event every second would never be compressed.
        """
        self._reopen_if_asked()
        self._try("sync", self._store.sync)
        try:
            return self._store.tidy()
        except OSError as error:
            log.warning("%s: old files cannot be tidied: %s", self.path, error.strerror)
            return False

    def _reopen_if_asked(self) -> None:
        if self._reopen.is_set():
            self._reopen.clear()
            self._try("sync", self._store.reopen)

    def _try(self, what: str, action: Callable[[], None]) -> bool:
        """Run `action` and record its result; return whether it succeeded."""
        try:
            action()
        except OSError as error:
            self._record(what, error)
            return False
        self._record(what, None)
        return True

    def _record(self, what: str, error: OSError | None) -> None:
        """Record the result of `what`; log a change between working and failing."""
        self._reasons[what] = f"the event log cannot be written: {error.strerror}" if error else ""
        reason = next(filter(None, self._reasons.values()), "")
        failures = self.status.failures
        if reason and not self.status.reason:
            failures += 1
            log.warning("%s: %s; retrying every second", self.path, reason)
        elif self.status.reason and not reason:
            log.info("%s: the event log can be written again", self.path)
        self.status = replace(self.status, reason=reason, failures=failures)
