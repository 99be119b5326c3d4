"""The events after a given one, in order and none left out: from the log, then as they come."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from edge_daemon.events.feed import EventFeed
from edge_daemon.events.history import Entry, EventHistory


class EventTail:
    """Follows the events from a place on that `go_back` sets; "" is the log's beginning.

    The latest are taken from the `feed`, without a look at the disk. Those that are no more at hand
    there are read from the log, which is gone through once.
    """

    def __init__(self, *, feed: EventFeed, history: EventHistory) -> None:
        self._last = ""
        self._feed, self._history = feed, history
        self._logged: Iterator[Entry] | None = None

    def take(self, limit: int) -> list[Entry]:
        """The next events, `limit` at most; empty if there are none yet."""
        kept = self._feed.kept()
        if not kept or not limit:
            return []
        entries = _after(self._last, kept)
        if entries is None:
            # Where the log ends before what is at hand begins, its disk has failed for long.
            entries = self._from_log(limit) or kept
        else:
            self._logged = None
        taken = entries[:limit]
        if taken:
            self._last = taken[-1].id
        return taken

    def go_back(self, last: str) -> None:
        """Have the events after the one with the id `last` be the next."""
        self._last, self._logged = last, None

    def _from_log(self, limit: int) -> list[Entry]:
        """Go on in the log; at its end see whether it has grown meanwhile."""
        for _ in range(2):
            if self._logged is None:
                self._logged = self._history.after(self._last)
            if found := list(islice(self._logged, limit)):
                return found
            self._logged = None
        return []


def _after(last: str, kept: list[Entry]) -> list[Entry] | None:
    """What follows the event `last` in `kept`; None if it is not there."""
    for place in range(len(kept) - 1, -1, -1):
        if kept[place].id == last:
            return kept[place + 1 :]
    return None
