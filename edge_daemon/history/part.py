"""The history as a part of the daemon: follows the event log and counts its events."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edge_daemon.config.schema import Config
from edge_daemon.core.errors import reason_of
from edge_daemon.core.parts import Apply, Part, nothing_to_apply
from edge_daemon.core.threads import JOIN_S, Worker
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.log_reader import EventLogReader
from edge_daemon.events.tail import EventFollower
from edge_daemon.history.build import HistoryUnavailable, database_path, history_report
from edge_daemon.history.report import HistoryReport
from edge_daemon.history.store import HistoryStore, set_aside

COUNT_S: Final = 5.0  # how often new events are counted
BEHIND_S: Final = 0.05  # between two batches while it is behind, to leave time for frames
BATCH: Final = 500
PRUNE_S: Final = 3600.0

log = logging.getLogger(__name__)


class HistoryPart(Part[Config]):
    """Counts the events of the log in a database beside it, if `history.enabled`."""

    name = "history"

    def __init__(
        self,
        config: Config,
        *,
        feed: EventFeed,
        log_reader: EventLogReader,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._config = config
        self._path = database_path(config)
        self._feed = feed
        self._follower = EventFollower(feed=feed, reader=log_reader)
        self._store: HistoryStore | None = None
        self._is_lost = False  # whether the follower may not be where the store is
        self._reason = ""
        self._prune_at_s = 0.0
        self._closing = threading.Event()
        self._worker = Worker("history", self._run, on_failure)

    def answers(self) -> HistoryReport | None:
        """Return the object that answers queries of the totals; None if there are no totals.

        Raises HistoryUnavailable while they cannot be read.
        """
        if self._path is None:
            return None
        if store := self._store:
            return history_report(self._config, store, self._feed.after)
        raise HistoryUnavailable(self._reason or "The history is starting; try again.")

    def start(self) -> None:
        if self._path is not None:
            self._worker.start()

    def stop(self) -> None:
        self._closing.set()
        self._worker.join(JOIN_S)

    def report(self) -> dict[str, Any]:
        return {"history": {"enabled": self._path is not None, "trouble": self._reason}}

    def trouble(self) -> str:
        return self._reason

    def adopt(self, config: Config) -> Apply:
        if config.history == self._config.history:
            return nothing_to_apply

        def apply() -> None:
            self._config = config

        return apply

    def _run(self) -> None:
        """Run the thread: count until `stop`, then count the last events."""
        assert self._path is not None  # noqa: S101 - else the thread is not started
        is_closing = False
        while not is_closing:
            is_closing = self._closing.is_set()
            is_behind = self._try(self._path)
            self._closing.wait(0.0 if is_closing else BEHIND_S if is_behind else COUNT_S)

    def _try(self, path: Path) -> bool:
        """Count a batch; return whether there may be more. After an error it is tried again."""
        try:
            if self._store is None or self._is_lost:
                self._store = HistoryStore(path)
                self._follower.go_back(self._store.position)
                self._is_lost = False
            is_behind = self._count(self._store)
        except (sqlite3.Error, OSError, ValueError, KeyError, TypeError) as error:
            return self._begins_anew(path, error)
        self._reason = ""
        return is_behind

    def _count(self, store: HistoryStore) -> bool:
        before = self._follower.last_id
        entries = self._follower.take(BATCH)
        if entries and not store.add(entries, after=before):  # `mien history rebuild` has
            self._follower.go_back(store.position)
        if time.monotonic() >= self._prune_at_s:
            self._prune_at_s = time.monotonic() + PRUNE_S
            store.prune()
        return len(entries) == BATCH

    def _begins_anew(self, path: Path, error: Exception) -> bool:
        """Record the error; return True if the database is damaged and the log is recounted."""
        reason = f"{path}: the history cannot be written: {reason_of(error)}"
        if not self._reason:
            log.warning("%s", reason)
        self._reason, self._is_lost = reason, True
        if isinstance(error, OSError | sqlite3.OperationalError):  # the disk failed
            return False
        self._store = None
        try:
            kept = set_aside(path)
        except OSError as refused:
            log.warning("%s: it cannot be renamed: %s", path, reason_of(refused))
            return False
        log.warning("%s: it is counted again from the log, and kept as %s", path, kept)
        return True
