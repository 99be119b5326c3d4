"""Pictures in, multipart/x-mixed-replace out: each viewer's newest picture when it can take one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from edge_daemon.core.slots import Closed
from edge_daemon.web.encoder import Look, Picture, Pictures
from edge_daemon.web.server.loop import Loop
from edge_daemon.web.server.server import Writable

BOUNDARY: Final = "mien-frame"
CONTENT_TYPE: Final = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
PART_HEADERS: Final = (
    b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n"
    b"X-Timestamp: %.6f\r\nX-Sent-Timestamp: %d.%06d\r\n\r\n"
)
REPEAT_S: Final = 2.0  # an unchanged picture goes out again, or a viewer that left goes unnoticed
MAX_LOOKS: Final = 6  # streamed at once: each costs an encoding a frame


class Full(Exception):
    """There is no place for another viewer; the text says why."""


class Viewers:
    """The streams being watched, at most `limit` of them at once."""

    def __init__(self, *, pictures: Pictures, loop: Loop, limit: int) -> None:
        self._pictures, self._loop, self._limit = pictures, loop, limit
        self._looks: Counter[Look] = Counter()

    @property
    def count(self) -> int:
        return self._looks.total()

    def join(
        self, look: Look, *, fps: float | None, headers_first: bool, writable: Writable
    ) -> Stream:
        """A new stream, to be closed by its user, of at most `fps` pictures a second.

        Raises Full when there are too many viewers, or too many ways to encode a picture.
        """
        if self.count >= self._limit:
            raise Full("All places for viewers are taken; try again later.")
        if look not in self._looks and len(self._looks) >= MAX_LOOKS:
            raise Full("Too many different settings are being watched; leave ?quality and ?width.")
        self._looks[look] += 1
        return Stream(
            pictures=self._pictures,
            loop=self._loop,
            look=look,
            fps=fps,
            headers_first=headers_first,
            writable=writable,
            viewers=self,
        )

    def leave(self, look: Look) -> None:
        self._looks[look] -= 1
        if not self._looks[look]:
            del self._looks[look]


class Stream(Iterator[bytes]):
    """The body of a multipart response for one viewer: always the newest picture, never a backlog.

    The boundary follows its picture at once, not with the next one. Chromium shows a part only
    when it has read the next part's headers (https://crbug.com/527446); `headers_first` sends
    those too, and as they then come before the length is known, leaves `Content-Length` out.
    """

    def __init__(
        self,
        *,
        pictures: Pictures,
        loop: Loop,
        look: Look,
        fps: float | None,
        headers_first: bool,
        writable: Writable,
        viewers: Viewers,
    ) -> None:
        self._pictures, self._loop, self._look = pictures, loop, look
        self._interval_s = 1 / fps if fps else 0.0
        self._due_s = 0.0
        self._headers_first = headers_first
        self._boundary = f"--{BOUNDARY}\r\n".encode()
        if headers_first:
            self._boundary += b"Content-Type: image/jpeg\r\n\r\n"
        self._writable = writable
        self._viewers: Viewers | None = viewers
        self._last: Picture | None = None

    def __next__(self) -> bytes:
        opening = b"" if self._last else self._boundary
        self._wait_for_turn()
        picture = self._newest()
        headers = b"" if self._headers_first else _part_headers(picture)
        return b"".join((opening, headers, picture.jpeg, b"\r\n", self._boundary))

    def close(self) -> None:
        """Give the viewer's place back; may be called again."""
        viewers, self._viewers = self._viewers, None
        if viewers is not None:
            viewers.leave(self._look)

    def _wait_for_turn(self) -> None:
        """Wait until the viewer has taken the last picture, and may have another."""
        self._writable()
        now_s = time.monotonic()
        if now_s < self._due_s:
            self._loop.sleep(self._due_s - now_s)
        self._due_s = max(self._due_s + self._interval_s, now_s)

    def _newest(self) -> Picture:
        after = self._last.seq if self._last else 0
        picture = None
        while picture is None:
            try:
                picture = self._pictures.next(self._look, after, REPEAT_S) or self._last
            except Closed:
                raise StopIteration from None
        self._last = picture
        return picture


def timestamps(captured_at: datetime) -> dict[str, str]:
    """When a picture was captured and sent, in Unix seconds (the first as mjpg-streamer has it)."""
    return {
        "X-Timestamp": f"{captured_at.timestamp():.6f}",
        "X-Sent-Timestamp": f"{time.time():.6f}",
    }


def _part_headers(picture: Picture) -> bytes:
    """Made anew for every viewer: the time of sending is its own."""
    sent = divmod(time.time_ns() // 1000, 1_000_000)
    return PART_HEADERS % (len(picture.jpeg), picture.captured_at.timestamp(), *sent)
