"""Views in, JPEG pictures and multipart streams out, drawn only while somebody watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

import cv2

from edge_daemon.annotate import public_picture
from edge_daemon.latest import Closed, Latest
from edge_daemon.types import View

BOUNDARY: Final = "mien-frame"
CONTENT_TYPE: Final = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
REPEAT_S: Final = 2.0  # an unchanged picture goes out again, or a viewer that left goes unnoticed
POLL_S: Final = 0.2  # how late a wait may see that it is over


class Picture(NamedTuple):
    """An encoded view; `seq` is its sequence number in the slot of views."""

    seq: int
    jpeg: bytes
    captured_at: datetime


class JpegFeed:
    """Encodes a view when the first reader asks for it, once for all readers."""

    def __init__(self, *, views: Latest[View]) -> None:
        self._views = views
        self._encoding = threading.Lock()
        self._picture: Picture | None = None
        self._closed = threading.Event()

    def next(self, after: int, timeout_s: float) -> Picture | None:
        """The newest picture with a sequence number above `after`; None after `timeout_s`.

        Raises Closed once the feed or its slot of views is closed.
        """
        deadline = time.monotonic() + timeout_s
        while not self._closed.is_set():
            left = deadline - time.monotonic()
            found = self._views.get(after, min(left, POLL_S))
            if found is not None:
                return self._encoded(*found)
            if left <= 0:
                return None
        raise Closed

    def close(self) -> None:
        """Wake every reader with Closed."""
        self._closed.set()

    def _encoded(self, seq: int, view: View) -> Picture:
        with self._encoding:
            if self._picture is None or self._picture.seq < seq:
                ok, jpeg = cv2.imencode(
                    ".jpg",
                    public_picture(view),
                    [cv2.IMWRITE_JPEG_QUALITY, view.drawing.quality],
                )
                if not ok:
                    raise RuntimeError("OpenCV could not encode the picture as JPEG")
                self._picture = Picture(seq, jpeg.tobytes(), view.frame.captured_at)
            return self._picture


class Viewers:
    """The streams being watched, at most `limit` of them at once."""

    def __init__(self, *, feed: JpegFeed, limit: int) -> None:
        self._feed = feed
        self._limit = limit
        self._lock = threading.Lock()
        self._count = 0

    @property
    def count(self) -> int:
        return self._count

    def join(self, *, headers_first: bool) -> Stream | None:
        """A new stream, to be closed by its user; None when the limit is reached."""
        with self._lock:
            if self._count >= self._limit:
                return None
            self._count += 1
        return Stream(feed=self._feed, headers_first=headers_first, on_close=self)

    def leave(self) -> None:
        with self._lock:
            self._count -= 1


class Stream(Iterator[bytes]):
    """The body of a multipart response for one viewer: always the newest picture, never a backlog.

    The boundary follows its picture at once, not with the next one. Chromium shows a part only
    when it has read the next part's headers (https://crbug.com/527446); `headers_first` sends
    those too, and as they then come before the length is known, leaves `Content-Length` out.
    """

    def __init__(self, *, feed: JpegFeed, headers_first: bool, on_close: Viewers) -> None:
        self._feed = feed
        self._headers_first = headers_first
        self._viewers: Viewers | None = on_close
        self._last: Picture | None = None

    def __next__(self) -> bytes:
        boundary = f"--{BOUNDARY}\r\n".encode()
        if self._headers_first:
            boundary += b"Content-Type: image/jpeg\r\n\r\n"
        opening = b"" if self._last else boundary
        picture = self._newest()
        headers = b"" if self._headers_first else _part_headers(picture)
        return b"".join((opening, headers, picture.jpeg, b"\r\n", boundary))

    def close(self) -> None:
        """Give the viewer's place back; may be called again."""
        viewers, self._viewers = self._viewers, None
        if viewers is not None:
            viewers.leave()

    def _newest(self) -> Picture:
        after = self._last.seq if self._last else 0
        picture = None
        while picture is None:
            try:
                picture = self._feed.next(after, REPEAT_S) or self._last
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
    headers = {
        "Content-Type": "image/jpeg",
        "Content-Length": str(len(picture.jpeg)),
        **timestamps(picture.captured_at),
    }
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n"
