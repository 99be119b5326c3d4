"""The event log, its snapshots and the daemon's own events as parts of the daemon."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edge_daemon import __version__
from edge_daemon.config.schema import Config
from edge_daemon.core.parts import Apply, EventLogger, Metric, Part, counter, counters
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.threads import JOIN_S, Worker
from edge_daemon.events.build import (
    build_event_log,
    build_log_reader,
    build_snapshot_writer,
    log_policy,
    snapshot_policy,
)
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.snapshots import Shot

MAX_EVENTS: Final = 10_000  # that wait for the disk
MAX_SHOTS: Final = 8  # each holds a whole picture

log = logging.getLogger(__name__)


class EventLogPart(Part[Config]):
    """Writes every event of `feed` to the log. Raises EventLogError if that can never work."""

    name = "event log"

    def __init__(self, config: Config, *, on_failure: Callable[[BaseException], None]) -> None:
        self._backlog: Backlog[Event] = Backlog(MAX_EVENTS)
        self._log = build_event_log(config, self._backlog)
        self.reader = build_log_reader(config)
        self.feed = EventFeed([self._backlog], self.reader.last_id())
        self._worker = Worker("event-log", self._log.run, on_failure)

    def reopen(self) -> None:
        """Open the log's file again, for programs that move it away."""
        self._log.reopen()

    def start(self) -> None:
        log.info("events: %s", self._log.path)
        self._worker.start()

    def stop(self) -> None:
        self._backlog.close()
        self._worker.join(JOIN_S)

    def report(self) -> dict[str, Any]:
        status = self._log.status
        return {
            "event_counts": self.feed.counts,
            "event_log": {
                "path": str(self._log.path),
                "trouble": status.reason,
                "failures": status.failures,
                "written": status.written,
                "waiting": len(self._backlog),
                "dropped": self._backlog.dropped,
            },
        }

    def metrics(self) -> Iterable[Metric]:
        status, feed = self._log.status, self.feed
        return [
            counters("mien_events", "Events by type.", "type", feed.counts.items()),
            counters(
                "mien_expressions", "Expressions that began.", "label", feed.expressions.items()
            ),
            counter("mien_events_written", "Events in the log.", status.written),
            counter(
                "mien_events_dropped",
                "Events that were not written, because too many waited.",
                self._backlog.dropped,
                reason="backlog_full",
            ),
            counter(
                "mien_event_log_failures", "Times that the log's disk failed.", status.failures
            ),
        ]

    def trouble(self) -> str:
        return self._log.status.reason

    def adopt(self, config: Config) -> Apply:
        policy = log_policy(config)
        return lambda: self._log.adopt(policy)


class SnapshotsPart(Part[Config]):
    """Writes the pictures of `shots`, and publishes each as JPEG in `pictures`."""

    name = "snapshots"

    def __init__(self, config: Config, *, on_failure: Callable[[BaseException], None]) -> None:
        self.shots: Backlog[Shot] = Backlog(MAX_SHOTS)
        self.pictures: Latest[bytes] = Latest()
        self._enabled = config.snapshots.enabled
        self._writer = build_snapshot_writer(config, self.shots, self.pictures)
        self._worker = Worker("snapshots", self._writer.run, on_failure)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self.shots.close()
        self._worker.join(JOIN_S)

    def report(self) -> dict[str, Any]:
        writer = self._writer
        return {
            "snapshots": {
                "enabled": self._enabled,
                "trouble": writer.reason,
                "written": writer.written,
                "failed": writer.failed,
                "dropped": self.shots.dropped,
            }
        }

    def metrics(self) -> Iterable[Metric]:
        dropped = [("backlog_full", self.shots.dropped), ("disk", self._writer.failed)]
        return [
            counter("mien_snapshots_written", "Pictures of events.", self._writer.written),
            counters(
                "mien_snapshots_dropped",
                "Pictures that were not written: too many waited, or the disk failed.",
                "reason",
                dropped,
            ),
        ]

    def trouble(self) -> str:
        return self._writer.reason

    def adopt(self, config: Config) -> Apply:
        policy, settings = snapshot_policy(config), config.snapshots

        def apply() -> None:
            self._enabled = settings.enabled
            self._writer.adopt(Path(settings.path), policy)

        return apply


class RunPart(Part[Config]):
    """Logs when the daemon starts and stops."""

    name = "run"

    def __init__(self, log_event: EventLogger) -> None:
        self._log_event = log_event
        self._started_s = 0.0

    def start(self) -> None:
        self._started_s = time.monotonic()
        self._log_event("daemon_start", datetime.now(UTC), version=__version__)

    def stop(self) -> None:
        ran_s = round(time.monotonic() - self._started_s, 3)
        self._log_event("daemon_stop", datetime.now(UTC), duration_s=ran_s)
