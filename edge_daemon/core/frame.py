"""The picture of a frame. A camera's JPEG is decoded when it is first read, at the scale needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from edge_daemon.core.picture import (
    FORMATS,
    MAX_PIXELS,
    PictureRefused,
    decode_picture,
    decode_reduced,
    plain_jpeg_header,
)
from edge_daemon.core.types import ImageBgr

Change = Callable[[ImageBgr], ImageBgr]

COARSEST: Final = 8  # the greatest factor by which a JPEG decoder reduces
_START_OF_SCAN: Final = b"\xff\xda"
_TAIL_BYTES: Final = 64  # of a JPEG, which are compared first


class Picture:
    """A picture of `size` (width, height) pixels; any thread may read it.

    `jpeg` holds the bytes that the camera sent; None if it sent no JPEG, or if the picture was
    changed since. `is_refused` is True once these bytes could not be decoded.
    """

    jpeg: bytes | None = None
    is_refused = False

    def __init__(self, bgr: ImageBgr) -> None:
        self.size: tuple[int, int] = (bgr.shape[1], bgr.shape[0])
        self._bgr = bgr

    @property
    def bgr(self) -> ImageBgr:
        """The whole picture. Raises PictureRefused."""
        return self.reduced(1)

    def reduced(self, factor: int) -> ImageBgr:
        """Return the picture, its sides divided by at most `factor`. Raises PictureRefused.

        Uses a decoded copy again if it is fine enough.
        """
        return self._bgr

    def changed(self, change: Change, *, is_turned: bool = False) -> Picture:
        """Return the picture changed by `change`, which must work at any scale.

        `is_turned` tells that `change` swaps width and height.
        """
        return Picture(change(self._bgr))

    def repeats(self, other: Picture) -> bool:
        """Return whether all pixels are the same as those of `other`."""
        return np.array_equal(self.bgr, other.bgr)


class JpegPicture(Picture):
    """A picture of `size` that a camera sent as `jpeg`; `changes` are applied after decoding.

    The first `header_bytes` of `jpeg` decide that it is a plain JPEG of this size.
    """

    def __init__(
        self,
        jpeg: bytes,
        size: tuple[int, int],
        changes: Sequence[Change] = (),
        *,
        header_bytes: int = 0,
    ) -> None:
        self.size = size
        self.header_bytes = header_bytes
        self.jpeg = None if changes else jpeg
        self._jpeg, self._changes = jpeg, changes
        self._decoding = threading.Lock()
        self._levels: dict[int, ImageBgr] = {}

    def reduced(self, factor: int) -> ImageBgr:
        factor = min(factor, COARSEST)
        with self._decoding:
            fitting = [level for level in self._levels if level <= factor]
            level = max(fitting, default=factor)
            if not fitting:
                self._levels[level] = self._decoded(level)
            return self._levels[level]

    def changed(self, change: Change, *, is_turned: bool = False) -> Picture:
        size = (self.size[1], self.size[0]) if is_turned else self.size
        return JpegPicture(self._jpeg, size, (*self._changes, change))

    def repeats(self, other: Picture) -> bool:
        """Return whether both have the same scan; the header before it may contain the time."""
        if not isinstance(other, JpegPicture):
            return super().repeats(other)
        if self._jpeg[-_TAIL_BYTES:] != other._jpeg[-_TAIL_BYTES:]:
            return False  # nearly always: then the scans need not be found
        return _scan(self._jpeg) == _scan(other._jpeg)

    def has_header_of(self, content: bytes) -> bool:
        """Return whether `content` is a JPEG with the same header."""
        return self.header_bytes > 0 and content.startswith(self._jpeg[: self.header_bytes])

    def _decoded(self, factor: int) -> ImageBgr:
        try:
            bgr = decode_reduced(self._jpeg, factor)
        except PictureRefused:
            self.is_refused = True
            raise
        for change in self._changes:
            bgr = change(bgr)
        return bgr


def black_picture(size: tuple[int, int]) -> Picture:
    """Return a black picture of `size` (width, height)."""
    return Picture(np.zeros((size[1], size[0], 3), np.uint8))


def read_picture(
    content: bytes,
    *,
    formats: frozenset[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    reduced_pixels: int,
    last: Picture | None = None,
) -> Picture:
    """Return the picture in `content`, in one of `formats`. Raises PictureRefused.

    A JPEG as cameras send it is decoded later: of one scan, of at most `reduced_pixels`, and
    without EXIF data (which may rotate the picture and name a place). Other pictures are decoded
    and reduced at once. Pictures of more than `max_pixels` are refused. A header that is the same
    as that of `last`, which was read with the same limits, is not read again.
    """
    if isinstance(last, JpegPicture) and last.has_header_of(content):
        return JpegPicture(content, last.size, header_bytes=last.header_bytes)
    header = plain_jpeg_header(content, max_pixels)
    if header is not None and header.width * header.height <= reduced_pixels:
        size = (header.width, header.height)
        return JpegPicture(content, size, header_bytes=header.header_bytes)
    decoded = decode_picture(
        content, formats=formats, max_pixels=max_pixels, reduced_pixels=reduced_pixels
    )
    return Picture(decoded.bgr)


def reduction(side_px: float, needed_px: float) -> int:
    """Return the greatest factor, a power of two, that leaves `needed_px` of `side_px`."""
    factor = 1
    while factor < COARSEST and side_px >= 2 * factor * needed_px:
        factor *= 2
    return factor


def _scan(jpeg: bytes) -> bytes:
    """Return the last scan; within a scan, the marker of its start cannot occur."""
    return jpeg[max(jpeg.rfind(_START_OF_SCAN), 0) :]
