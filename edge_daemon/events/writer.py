"""The event log's thread: events from a backlog in, lines in a log out, whatever the disk does."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from edge_daemon.core.errors import UserError
from edge_daemon.core.slots import Backlog
from edge_daemon.events.events import Event

TICK_S = 1.0  # how often it looks after the files, and after a disk that fails

# What a disk does to a log that was set up well; all else is for the user to mend at the start.
PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})

log = logging.getLogger(__name__)


class EventLogError(UserError):
    """The log cannot be opened for writing; the message names the file."""


class Store(Protocol):
    """Where lines go; every method may raise OSError and be called again."""

    def open(self) -> None: ...
    def append(self, lines: bytes) -> None: ...
    def sync(self) -> None: ...
    def tidy(self) -> bool: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LogStatus:
    """How the log is doing; `reason` is "" while all is well, else why it is not."""

    reason: str = ""
    written: int = 0  # events since the start
    failures: int = 0  # times that a disk which was well failed


class EventLog:
    """Writes each event as a line, at once.

    While a line cannot be written (disk full or read-only) it is tried again every second, and
    newer events wait in the backlog. `path` stands for the log in messages. Raises EventLogError
    for a log that cannot work until the user mends it.
    """

    def __init__(self, path: Path, store: Store, backlog: Backlog[Event]) -> None:
        self.path = path
        self.status = LogStatus()
        self._store = store
        self._backlog = backlog
        self._reopen = threading.Event()
        self._troubles: dict[str, str] = {}
        self._check()

    def reopen(self) -> None:
        """Let the log's thread open its file anew, for what moved it away."""
        self._reopen.set()

    def run(self) -> None:
        """Write events until the backlog is closed and empty: the body of the log's thread."""
        more_to_tidy = True
        while not self._backlog.drained:
            event = self._backlog.get(0.0 if more_to_tidy else TICK_S)
            if event is not None and not self._write(event):
                break
            more_to_tidy = self._look_after(tidy=event is None)
        self._try("sync", self._store.close)

    def _check(self) -> None:
        """Open the log once, so that the user hears at once of what he has to mend."""
        try:
            self._store.open()
        except OSError as error:
            if error.errno not in PASSING:
                raise EventLogError(
                    f"{self.path}: the event log cannot be written: {error.strerror}; "
                    "set `events.path` to a file this user may write."
                ) from error
            self._judge("write", error)

    def _write(self, event: Event) -> bool:
        """Write the event, waiting for room; False if the daemon stops before there is any."""
        line = event.as_line().encode()
        while not self._try("write", lambda: self._store.append(line)):
            if self._backlog.wait_closed(TICK_S):
                lost = 1 + len(self._backlog)
                log.error("%s: %d events could not be written before the stop", self.path, lost)
                return False
            self._reopen_if_asked()
        self.status = replace(self.status, written=self.status.written + 1)
        return True

    def _look_after(self, *, tidy: bool) -> bool:
        """Reopen, sync, and take a step at old files if there is time; whether there are more."""
        self._reopen_if_asked()
        self._try("sync", self._store.sync)
        try:
            return tidy and self._store.tidy()
        except OSError as error:
            log.warning("%s: old files: %s", self.path, error.strerror)
            return False

    def _reopen_if_asked(self) -> None:
        if self._reopen.is_set():
            self._reopen.clear()
            self._try("sync", self._store.reopen)

    def _try(self, what: str, action: Callable[[], None]) -> bool:
        """Do it and take note of how it went; whether it went well."""
        try:
            action()
        except OSError as error:
            self._judge(what, error)
            return False
        self._judge(what, None)
        return True

    def _judge(self, what: str, error: OSError | None) -> None:
        """Take note of how the disk did at `what`; log it only where that is news."""
        self._troubles[what] = f"the event log cannot be written: {error.strerror}" if error else ""
        reason = next(filter(None, self._troubles.values()), "")
        failures = self.status.failures
        if reason and not self.status.reason:
            failures += 1
            log.warning("%s: %s; trying on", self.path, reason)
        elif self.status.reason and not reason:
            log.info("%s: writing again", self.path)
        self.status = replace(self.status, reason=reason, failures=failures)
