"""Events as they happen, faces and state in; server-sent events out.

The format is the HTML Standard's, section 9.2. What is in the event log is a message with an id,
so that a reader that was cut off resumes from the log; faces and state are named events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from edge_daemon.core.slots import Closed, Latest
from edge_daemon.core.types import View
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.history import MAX_EVENTS, Entry, EventHistory, Query
from edge_daemon.web.server.loop import Loop
from edge_daemon.web.server.server import Writable

CONTENT_TYPE: Final = "text/event-stream"
OPENING: Final = "retry: 2000\n\n"
FACES_S: Final = 0.1  # at most so often
STATE_S: Final = 1.0
COMMENT_S: Final = 10.0  # a word now and then, or a reader that left goes unnoticed


class EventStream(Iterator[bytes]):
    """The body for one reader: the events after `last_id`, then live.

    Where `last_id` is empty, it begins with what memory has of the time from `since` on, and where
    that is empty too, with what comes. With `views` also the faces of each view and, every second,
    the state.
    """

    def __init__(
        self,
        *,
        feed: EventFeed,
        history: EventHistory,
        last_id: str,
        since: str,
        views: Latest[View] | None,
        faces: Callable[[View], dict[str, Any]],
        state: Callable[[], dict[str, Any]],
        loop: Loop,
        writable: Writable,
        on_close: Callable[[], None],
    ) -> None:
        self._feed, self._history, self._views = feed, history, views
        self._faces, self._state = faces, state
        self._loop, self._writable = loop, writable
        self._on_close: Callable[[], None] | None = on_close
        self._last_id = last_id or _last(
            [entry for entry in feed.kept() if not since or entry.event["time"] < since]
        )
        self._resuming = bool(last_id)
        self._seq = 0
        self._said_s = self._faces_s = self._state_s = 0.0
        self._opened = False

    def __next__(self) -> bytes:
        self._writable()
        text = "" if self._opened else OPENING
        self._opened = True
        while not text:
            text = self._news()
            if not text:
                self._loop.wait()
        self._said_s = time.monotonic()
        return text.encode()

    def close(self) -> None:
        """Give the reader's place back; may be called again."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _news(self) -> str:
        now_s = time.monotonic()
        text = "".join(map(_message, self._entries()))
        if self._views is not None:
            text += self._named(now_s, self._views)
        if not text and now_s - self._said_s > COMMENT_S:
            return ":\n\n"
        return text

    def _entries(self) -> list[Entry]:
        """The events since the last one sent."""
        kept = self._feed.kept()
        ids = [entry.id for entry in kept]
        if self._last_id in ids:
            entries = kept[len(ids) - ids[::-1].index(self._last_id) :]
        elif self._resuming:
            query = Query(after=self._last_id)
            logged = self._loop.offload(self._history.find, query, MAX_EVENTS)
            entries = [entry for entry in logged if entry.id not in set(ids)] + kept
        else:
            entries = kept
        self._resuming = False
        self._last_id = _last(entries) or self._last_id
        return entries

    def _named(self, now_s: float, views: Latest[View]) -> str:
        text = ""
        if now_s - self._state_s >= STATE_S:
            self._state_s = now_s
            text += _event("state", self._state())
        if now_s - self._faces_s >= FACES_S:
            try:
                found = views.get(self._seq, 0)
            except Closed:
                raise StopIteration from None
            if found is not None:
                self._seq, self._faces_s = found[0], now_s
                text += _event("faces", self._faces(found[1]))
        return text


def _message(entry: Entry) -> str:
    return f"id: {entry.id}\ndata: {json.dumps(entry.event, separators=(',', ':'))}\n\n"


def _event(name: str, values: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(values, allow_nan=False, separators=(',', ':'))}\n\n"


def _last(entries: list[Entry]) -> str:
    return entries[-1].id if entries else ""
