"""Encodes views to JPEG: only while somebody watches, and once for all with the same options."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from edge_daemon.core.slots import Latest
from edge_daemon.core.types import ENCODE, View
from edge_daemon.draw.annotate import public_picture, untouched_jpeg
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.web.server.loop import PULSE_S, Broadcast, Loop, WorkerThreads

ENCODINGS: Final = 8  # sets of options that are kept, each with its newest picture
ENCODER_THREADS: Final = 2


class PictureOptions(NamedTuple):
    """The options of a request for pictures.

    `quality` is that of the JPEG, 1 to 100; None stands for the view's. `width` is the greatest
    width in pixels. `overlay` draws boxes and labels. Without any of them the camera's own JPEG is
    sent, if viewers may see it.
    """

    quality: int | None = None
    width: int | None = None
    overlay: bool = True


class EncodedPicture(NamedTuple):
    """A view as JPEG; `seq` is its sequence number in the slot of views."""

    seq: int
    jpeg: bytes
    captured_s: float
    captured_at: datetime

    @property
    def age_s(self) -> float:
        """Seconds since the capture, or more: the clock may be set, the computer suspended."""
        by_clock_s = (datetime.now(UTC) - self.captured_at).total_seconds()
        return max(by_clock_s, time.monotonic() - self.captured_s)


class PictureEncoder:
    """Provides the newest view as JPEG.

    `observe` is called with ENCODE and the seconds each encoding took, in a worker thread.
    """

    def __init__(
        self, *, views: Latest[View], loop: Loop, observe: Callable[[str, float], None]
    ) -> None:
        self._views, self._loop, self._observe = views, loop, observe
        self._threads = loop.threads(ENCODER_THREADS)
        self._encodings: OrderedDict[PictureOptions, _Encoding] = OrderedDict()
        views.listen(loop.ring)

    def next(self, options: PictureOptions, after: int, timeout_s: float) -> EncodedPicture | None:
        """Return the newest picture above sequence number `after`; None after about `timeout_s`.

        Raises Closed once the slot of views is closed.
        """
        deadline_s = time.monotonic() + timeout_s
        encoding = self._encoding(options)
        made = encoding.newest(after)
        if made is not None and made.seq == self._views.seq:
            return made
        while True:
            encoding.wait_for_next(after)
            if (made := encoding.newest(after)) is not None:
                return made
            if time.monotonic() >= deadline_s:
                return None

    def _encoding(self, options: PictureOptions) -> _Encoding:
        if options not in self._encodings:
            self._encodings[options] = _Encoding(
                options, self._views, self._loop, self._threads, self._observe
            )
            if len(self._encodings) > ENCODINGS:
                self._encodings.popitem(last=False)
        self._encodings.move_to_end(options)
        return self._encodings[options]


class _Encoding:
    """The newest picture with one set of options.

    One of the requests that wait for the next view encodes it and wakes the others, so that each
    wakes once a picture.
    """

    def __init__(
        self,
        options: PictureOptions,
        views: Latest[View],
        loop: Loop,
        threads: WorkerThreads,
        observe: Callable[[str, float], None],
    ) -> None:
        self._options, self._views, self._loop = options, views, loop
        self._threads, self._observe = threads, observe
        self._made: EncodedPicture | None = None
        self._is_busy = False
        self._done = Broadcast()

    def newest(self, after: int) -> EncodedPicture | None:
        """Return the last picture, if its sequence number is above `after`."""
        made = self._made
        return made if made is not None and made.seq > after else None

    def wait_for_next(self, after: int) -> None:
        """Wait until a view above `after` has been encoded, or about PULSE_S have passed."""
        if self._is_busy:
            self._done.wait()
            return
        self._is_busy = True
        try:
            self._make(after)
        finally:
            self._is_busy = False
            self._done.send()

    def _make(self, after: int) -> None:
        started_s = time.monotonic()
        while (found := self._views.get(after, 0)) is None:
            if time.monotonic() - started_s >= PULSE_S:
                return
            self._loop.wait()
        seq, view = found
        jpeg = self._untouched(view) or self._threads.run(self._encode, view)
        self._made = EncodedPicture(seq, jpeg, view.frame.captured_s, view.frame.captured_at)

    def _untouched(self, view: View) -> bytes | None:
        """Return the camera's own JPEG if the options ask for no other."""
        options = self._options
        if options.overlay or options.quality:
            return None
        if (options.width or math.inf) < view.frame.size[0]:
            return None
        return untouched_jpeg(view)

    def _encode(self, view: View) -> bytes:
        options, started_s = self._options, time.monotonic()
        bgr = public_picture(view, overlay=options.overlay)
        quality = options.quality or view.drawing.quality
        jpeg = encode_jpeg(bgr, quality=quality, width=options.width)
        self._observe(ENCODE, time.monotonic() - started_s)
        return jpeg
