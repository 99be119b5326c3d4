"""Follows the event log: the events after a given one, in order and without gaps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from edge_daemon.events.feed import EventFeed
from edge_daemon.events.history import Entry, EventHistory, id_order


class EventFollower:
    """Takes event after event, beginning after the one with the id `last_id` ("": the first).

    Events still in memory come from `feed`, without reading the disk. Older ones are read from the
    log, once through. MQTT, server-sent events, webhooks and the history's totals each have one.
    """

    def __init__(self, *, feed: EventFeed, history: EventHistory, last_id: str = "") -> None:
        self.last_id = last_id
        self._feed, self._history = feed, history
        self._logged: Iterator[Entry] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether the next events have to be read from the log."""
        return self._feed.after(self.last_id) is None

    def take(self, limit: int) -> list[Entry]:
        """The next events, `limit` at most; empty if there are none yet."""
        if limit <= 0:
            return []
        newest_id = self._feed.last_id
        if id_order(self.last_id) > id_order(newest_id):  # the log was deleted
            self.go_back(newest_id)
        entries = self._feed.after(self.last_id)
        if entries is None:
            # The log may end before memory begins, when its disk has failed for long.
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
        """Read on in the log; at its end check whether it has grown meanwhile."""
        for _ in range(2):
            if self._logged is None:
                self._logged = self._history.after(self.last_id)
            if found := list(islice(self._logged, limit)):
                return found
            self._logged = None
        return []
