"""Slows searches of the log down, so that they do not delay frames and viewers."""

from __future__ import annotations

import threading
import time
from typing import Final

from edge_daemon.web.server.handler import Client

FREE_S: Final = 0.05  # processor time of a search that is not slowed
WORK_S: Final = 0.001  # processor time between two rests
RESTS: Final = 2.0  # how many times as long as the work a rest is


class LogSearches:
    """The searches in progress. They rest one after another, so that many cost no more than two."""

    def __init__(self) -> None:
        self._resting = threading.Lock()

    def begin(self, client: Client) -> LogSearch:
        """Return a search for `client`, to be used in one thread."""
        return LogSearch(client, self._resting)


class LogSearch:
    """A search that works for a moment, then rests for longer.

    Python runs one thread at a time, and another thread waits up to 5 ms for its turn. A frame
    waits many times, so searches without rests would delay the stream several times as long.
    """

    def __init__(self, client: Client, resting: threading.Lock) -> None:
        self._client, self._resting = client, resting
        self._rested_s: float | None = None

    def checkpoint(self) -> bool:
        """Rest if it is time, and return whether the client has left; called every few lines."""
        now_s = time.thread_time()
        if self._rested_s is None:
            self._rested_s = now_s + FREE_S
        elif now_s - self._rested_s >= WORK_S:
            with self._resting:
                time.sleep(RESTS * (now_s - self._rested_s))
            self._rested_s = time.thread_time()
        return self._client.has_left()
