"""Follows the event log: the events after a given one, in order and without gaps."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from edge_daemon.core.files import replace_file
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.log_reader import Entry, EventLogReader, id_order

log = logging.getLogger(__name__)


class EventFollower:
    """Takes event after event, beginning after the one with the id `last_id` ("": the first).

    Events still in memory come from `feed`, without reading the disk. Older ones are read from the
    log, in one pass. MQTT, server-sent events, webhooks and the history's totals each have one.
    """

    def __init__(self, *, feed: EventFeed, reader: EventLogReader, last_id: str = "") -> None:
        self.last_id = last_id
        self._feed, self._reader = feed, reader
        self._logged: Iterator[Entry] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether the next events have to be read from the log."""
        return self._feed.after(self.last_id) is None

    def take(self, limit: int) -> list[Entry]:
        """Return the next events, at most `limit`; an empty list if there are none yet."""
        if limit <= 0:
            return []
        newest_id = self._feed.last_id
        if id_order(self.last_id) > id_order(newest_id):  # the log was deleted
            self.go_back(newest_id)
        entries = self._feed.after(self.last_id)
        if entries is None:
            # If the disk has failed for long, the log ends before the events in memory begin.
            entries = self._from_log(limit) or self._feed.kept()
        else:
            self._logged = None
        taken = entries[:limit]
        if taken:
            self.last_id = taken[-1].id
        return taken

    def go_back(self, last_id: str) -> None:
        """Continue with the events after the one with the id `last_id`."""
        self.last_id, self._logged = last_id, None

    def _from_log(self, limit: int) -> list[Entry]:
        """Continue to read the log; at its end, check whether it has grown meanwhile."""
        for _ in range(2):
            if self._logged is None:
                self._logged = self._reader.after(self.last_id)
            if found := list(islice(self._logged, limit)):
                return found
            self._logged = None
        return []


@dataclass(frozen=True, slots=True)
class Position:
    """The id of the last event that a receiver has acknowledged, and of the last one sent.

    `sent` is "" if all events sent are acknowledged.
    """

    acknowledged: str
    sent: str = ""


class PositionFile:
    """Keeps the position of a receiver over restarts; without a `path` it keeps none.

    A process that is killed while it sends cannot save its position: any event before the next
    start may then have been sent. The file is not synced: a power cut loses its last seconds, and
    the events of these are sent again, marked as redelivered.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._is_failing = False

    def load(self, newest_id: str) -> Position:
        """Return the saved position; at the first start, `newest_id`, the log's last event."""
        try:
            if self._path is None:
                return Position(newest_id)
            values = json.loads(self._path.read_bytes())
            acknowledged, sent = str(values["acknowledged"]), values["sent"]
        except FileNotFoundError:
            return Position(newest_id)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            log.warning("%s: cannot be read; all events of the log are sent again", self._path)
            return Position("", newest_id)
        return Position(acknowledged, newest_id if sent is None else str(sent))

    def save(self, position: Position, *, is_sending: bool) -> None:
        """Replace the saved position. If the disk fails, events may be sent again."""
        if self._path is None:
            return
        values = asdict(position) | ({"sent": None} if is_sending else {})
        try:
            content = (json.dumps(values) + "\n").encode()
            replace_file(self._path, content, mode=0o640, sync=False)
        except OSError as error:
            if not self._is_failing:
                log.warning("%s: cannot be written: %s", self._path, error.strerror)
            self._is_failing = True
        else:
            self._is_failing = False
