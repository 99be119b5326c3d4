"""Views in, JPEG pictures out: encoded once for all who want them alike, and for nobody else."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

import cv2

from edge_daemon.annotate import public_picture
from edge_daemon.latest import Closed, Latest
from edge_daemon.types import ImageBgr, View
from edge_daemon.web_loop import Loop

KEPT: Final = 8  # encodings kept, each its newest picture only
POLL_S: Final = 1.0  # how late a wait may see that it is over
ENCODE: Final = "encode"  # drawing and compressing a view, in one look


class Look(NamedTuple):
    """How a picture is encoded: JPEG quality 1 to 100, at most `width` pixels wide, drawn on?

    A `quality` of None is that of the view's drawing.
    """

    quality: int | None = None
    width: int | None = None
    overlay: bool = True


class Picture(NamedTuple):
    """An encoded view; `seq` is its sequence number in the slot of views."""

    seq: int
    jpeg: bytes
    captured_at: datetime


class Pictures:
    """The newest view as JPEG, in the looks asked for. For use while answering requests.

    `observe` hears how many seconds each ENCODE took, in the thread that did it.
    """

    def __init__(
        self, *, views: Latest[View], loop: Loop, observe: Callable[[str, float], None]
    ) -> None:
        self._views, self._loop, self._observe = views, loop, observe
        self._encodings: OrderedDict[Look, _Encoding] = OrderedDict()
        self._closed = False
        views.listen(loop.ring)

    def next(self, look: Look, after: int, timeout_s: float) -> Picture | None:
        """The newest picture with a sequence number above `after`; None after `timeout_s`.

        Raises Closed once this or its slot of views is closed.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self._closed:
            if (found := self._views.get(after, 0)) is not None:
                return self._encoding(look).picture(*found)
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return None
            self._loop.wait(min(left_s, POLL_S))
        raise Closed

    def close(self) -> None:
        """End every wait with Closed."""
        self._closed = True
        self._loop.ring()

    def _encoding(self, look: Look) -> _Encoding:
        if look not in self._encodings:
            self._encodings[look] = _Encoding(look, self._loop, self._observe)
            if len(self._encodings) > KEPT:
                self._encodings.popitem(last=False)
        self._encodings.move_to_end(look)
        return self._encodings[look]


class _Encoding:
    """The newest picture in one look; who asks while it is being made waits for it."""

    def __init__(self, look: Look, loop: Loop, observe: Callable[[str, float], None]) -> None:
        self._look, self._loop, self._observe = look, loop, observe
        self._busy = loop.places(1)
        self._picture: Picture | None = None

    def picture(self, seq: int, view: View) -> Picture:
        with self._busy:
            if self._picture is None or self._picture.seq < seq:
                jpeg = self._loop.offload(self._encode, view)
                self._picture = Picture(seq, jpeg, view.frame.captured_at)
            return self._picture

    def _encode(self, view: View) -> bytes:
        started_s = time.monotonic()
        bgr = public_picture(view, overlay=self._look.overlay)
        quality = self._look.quality or view.drawing.quality
        jpeg = encode(bgr, quality=quality, width=self._look.width)
        self._observe(ENCODE, time.monotonic() - started_s)
        return jpeg


def encode(bgr: ImageBgr, *, quality: int, width: int | None = None) -> bytes:
    """`bgr` as JPEG of `quality` 1 to 100, made smaller where it is wider than `width`."""
    height, full = bgr.shape[:2]
    if width is not None and width < full:
        size = (width, max(1, round(height * width / full)))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    ok, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise RuntimeError("OpenCV could not encode the picture as JPEG")
    return jpeg.tobytes()
