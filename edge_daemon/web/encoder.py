"""Views in, JPEG pictures out: encoded once for all who want them alike, and for nobody else."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from edge_daemon.core.slots import Latest
from edge_daemon.core.types import ENCODE, View
from edge_daemon.draw.annotate import public_picture
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.web.server.loop import PULSE_S, Loop, Signal

KEPT: Final = 8  # encodings kept, each its newest picture only


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
        views.listen(loop.ring)

    def next(self, look: Look, after: int, timeout_s: float) -> Picture | None:
        """The newest picture with a sequence number above `after`; None after about `timeout_s`.

        Raises Closed once the slot of views is closed.
        """
        deadline_s = time.monotonic() + timeout_s
        encoding = self._encoding(look)
        if (made := encoding.newest(after)) is not None and made.seq == self._views.seq:
            return made
        while True:
            encoding.follow_up(after)
            if (made := encoding.newest(after)) is not None:
                return made
            if time.monotonic() >= deadline_s:
                return None

    def _encoding(self, look: Look) -> _Encoding:
        if look not in self._encodings:
            self._encodings[look] = _Encoding(look, self._views, self._loop, self._observe)
            if len(self._encodings) > KEPT:
                self._encodings.popitem(last=False)
        self._encodings.move_to_end(look)
        return self._encodings[look]


class _Encoding:
    """The newest picture in one look.

    One of those who wait for the next view encodes it, and then wakes the others: each wakes once
    for a picture.
    """

    def __init__(
        self, look: Look, views: Latest[View], loop: Loop, observe: Callable[[str, float], None]
    ) -> None:
        self._look, self._views, self._loop, self._observe = look, views, loop, observe
        self._made: Picture | None = None
        self._busy = False
        self._over = Signal()

    def newest(self, after: int) -> Picture | None:
        """The picture made last, if its sequence number is above `after`."""
        made = self._made
        return made if made is not None and made.seq > after else None

    def follow_up(self, after: int) -> None:
        """Wait until a view above `after` has been encoded, or a while has passed."""
        if self._busy:
            self._over.wait()
            return
        self._busy = True
        try:
            self._make(after)
        finally:
            self._busy = False
            self._over.send()

    def _make(self, after: int) -> None:
        started_s = time.monotonic()
        while (found := self._views.get(after, 0)) is None:
            if time.monotonic() - started_s >= PULSE_S:
                return
            self._loop.wait()
        seq, view = found
        self._made = Picture(seq, self._loop.offload(self._encode, view), view.frame.captured_at)

    def _encode(self, view: View) -> bytes:
        started_s = time.monotonic()
        bgr = public_picture(view, overlay=self._look.overlay)
        quality = self._look.quality or view.drawing.quality
        jpeg = encode_jpeg(bgr, quality=quality, width=self._look.width)
        self._observe(ENCODE, time.monotonic() - started_s)
        return jpeg
