"""Server-sent events: new events of the log, with the faces and the state for the page.

The format is that of the HTML Standard, section 9.2. An event of the log is a message with an id,
so that a reader that was disconnected can resume from the log. Faces and state are named events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from edge_daemon.core.slots import Closed, Latest
from edge_daemon.core.types import View
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.log_reader import Entry
from edge_daemon.events.tail import EventFollower
from edge_daemon.web.server.handler import Client
from edge_daemon.web.server.loop import Loop, WorkerThreads

CONTENT_TYPE: Final = "text/event-stream"
OPENING: Final = "retry: 2000\n\n"
FACES_S: Final = 0.1  # the least time between two messages with faces
STATE_S: Final = 1.0
COMMENT_S: Final = 10.0  # a comment is sent now and then, to notice readers that have left
BATCH: Final = 200  # events at a time, so that a reader that catches up does not delay others


class ServerSentEvents(Iterator[bytes]):
    """The body of one reader's answer: the events of `follower`.

    With `views`, also the faces of each view and, every second, the state. Events that are only in
    the log's files are read by `threads`.
    """

    def __init__(
        self,
        *,
        feed: EventFeed,
        follower: EventFollower,
        views: Latest[View] | None,
        faces: Callable[[View], dict[str, Any]],
        state: Callable[[], dict[str, Any]],
        loop: Loop,
        threads: WorkerThreads,
        client: Client,
        on_close: Callable[[], None],
    ) -> None:
        self._feed, self._follower, self._views = feed, follower, views
        self._faces, self._state = faces, state
        self._loop, self._threads, self._client = loop, threads, client
        self._on_close: Callable[[], None] | None = on_close
        self._seq = 0
        self._sent_s = self._faces_s = self._state_s = 0.0
        self._is_open = False

    def __next__(self) -> bytes:
        self._client.wait_writable()
        text = "" if self._is_open else OPENING
        self._is_open = True
        while not text:
            text = self._news()
            if not text:
                self._loop.wait()
        self._sent_s = time.monotonic()
        return text.encode()

    def close(self) -> None:
        """Free the reader's place; may be called again."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _news(self) -> str:
        now_s = time.monotonic()
        text = "".join(map(_message, self._entries()))
        if self._views is not None:
            text += self._faces_and_state(now_s, self._views)
        if not text and now_s - self._sent_s > COMMENT_S:
            return ":\n\n"
        return text

    def _entries(self) -> list[Entry]:
        if self._follower.last_id == self._feed.last_id:
            return []
        if self._follower.is_behind:
            return self._threads.run(self._follower.take, BATCH)
        return self._follower.take(BATCH)

    def _faces_and_state(self, now_s: float, views: Latest[View]) -> str:
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
