"""MJPEG streams (multipart/x-mixed-replace); each viewer gets the newest picture it can take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from edge_daemon.core.slots import Closed
from edge_daemon.web.encoder import EncodedPicture, PictureEncoder, PictureOptions
from edge_daemon.web.server.handler import Client
from edge_daemon.web.server.loop import Loop

BOUNDARY: Final = "mien-frame"
CONTENT_TYPE: Final = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
PART_HEADERS: Final = (
    b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n"
    b"X-Timestamp: %.6f\r\nX-Sent-Timestamp: %d.%06d\r\n\r\n"
)
REPEAT_S: Final = 2.0  # an unchanged picture is sent again, to notice viewers that have left
MAX_OPTIONS: Final = 6  # sets of options at once; each costs one encoding per frame


class StreamRefused(Exception):
    """There is no place for another viewer; the message is one sentence that says why."""


class Viewers:
    """The MJPEG streams that are open, at most `limit`."""

    def __init__(self, *, encoder: PictureEncoder, loop: Loop, limit: int) -> None:
        self._encoder, self._loop = encoder, loop
        self.limit = limit
        self._options: Counter[PictureOptions] = Counter()

    @property
    def count(self) -> int:
        """The number of open streams."""
        return self._options.total()

    def join(
        self, options: PictureOptions, *, fps: float | None, headers_first: bool, client: Client
    ) -> MjpegStream:
        """Open a stream of at most `fps` pictures a second; the caller has to close it.

        Raises StreamRefused.
        """
        if self.count >= self.limit:
            raise StreamRefused("All places for viewers are taken; try again later.")
        if options not in self._options and len(self._options) >= MAX_OPTIONS:
            raise StreamRefused(
                "Viewers use too many different settings; leave out ?quality= and ?width=."
            )
        self._options[options] += 1
        return MjpegStream(
            encoder=self._encoder,
            loop=self._loop,
            options=options,
            fps=fps,
            headers_first=headers_first,
            client=client,
            viewers=self,
        )

    def leave(self, options: PictureOptions) -> None:
        """Count a stream that has ended."""
        self._options[options] -= 1
        if not self._options[options]:
            del self._options[options]


class MjpegStream(Iterator[bytes]):
    """The body of one viewer's stream: always the newest picture, never a backlog.

    The boundary is sent right after a picture, not with the next one. Chromium shows a part only
    when it has read the next part's headers (https://crbug.com/527446). `headers_first` therefore
    sends these headers early too, without Content-Length, because the length is not known yet.
    """

    def __init__(
        self,
        *,
        encoder: PictureEncoder,
        loop: Loop,
        options: PictureOptions,
        fps: float | None,
        headers_first: bool,
        client: Client,
        viewers: Viewers,
    ) -> None:
        self._encoder, self._loop, self._options = encoder, loop, options
        self._interval_s = 1 / fps if fps else 0.0
        self._due_s = 0.0
        self._headers_first = headers_first
        self._boundary = f"--{BOUNDARY}\r\n".encode()
        if headers_first:
            self._boundary += b"Content-Type: image/jpeg\r\n\r\n"
        self._client = client
        self._viewers: Viewers | None = viewers
        self._last: EncodedPicture | None = None

    def __next__(self) -> bytes:
        opening = b"" if self._last else self._boundary
        self._wait_for_turn()
        picture = self._newest()
        headers = b"" if self._headers_first else _part_headers(picture)
        return b"".join((opening, headers, picture.jpeg, b"\r\n", self._boundary))

    def close(self) -> None:
        """Free the viewer's place; may be called again."""
        viewers, self._viewers = self._viewers, None
        if viewers is not None:
            viewers.leave(self._options)

    def _wait_for_turn(self) -> None:
        """Wait until the viewer has taken the last picture and its rate allows another."""
        self._client.wait_writable()
        now_s = time.monotonic()
        if now_s < self._due_s:
            self._loop.sleep(self._due_s - now_s)
        self._due_s = max(self._due_s + self._interval_s, now_s)

    def _newest(self) -> EncodedPicture:
        after = self._last.seq if self._last else 0
        picture = None
        while picture is None:
            try:
                picture = self._encoder.next(self._options, after, REPEAT_S) or self._last
            except Closed:
                raise StopIteration from None
        self._last = picture
        return picture


def timestamps(captured_at: datetime) -> dict[str, str]:
    """Return when a picture was captured and sent, in Unix seconds, as mjpg-streamer's headers."""
    return {
        "X-Timestamp": f"{captured_at.timestamp():.6f}",
        "X-Sent-Timestamp": f"{time.time():.6f}",
    }


def _part_headers(picture: EncodedPicture) -> bytes:
    """Return a part's headers; the time of sending is each viewer's own."""
    sent = divmod(time.time_ns() // 1000, 1_000_000)
    return PART_HEADERS % (len(picture.jpeg), picture.captured_at.timestamp(), *sent)
