"""An uploaded file in, a picture out; what is no picture, or too large, is refused unread.

Size and kind come from the file's header, before anything is decoded: a picture of a few bytes may
claim gigabytes of pixels.
"""

from __future__ import annotations

import struct
from typing import Final

import cv2
import numpy as np

from edge_daemon.core.types import ImageBgr

MAX_BYTES: Final = 10_000_000
MAX_PIXELS: Final = 40_000_000
MAX_SCANS: Final = 32  # of a progressive JPEG: each is a pass over all pixels
LONGEST_PX: Final = 2048  # larger pictures are decoded smaller


class PhotoRefused(ValueError):
    """Not a picture that can be used; `status` is HTTP's, the text one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def read_photo(content: bytes) -> ImageBgr:
    """Decode a JPEG, PNG or WebP of at most MAX_BYTES and MAX_PIXELS, upright by its EXIF.

    The result is made smaller until its longer side is at most about LONGEST_PX. Raises
    PhotoRefused.
    """
    if len(content) > MAX_BYTES:
        raise PhotoRefused(413, f"A picture may have {MAX_BYTES // 1_000_000} MB.")
    size = picture_size(content)
    if size is None:
        raise PhotoRefused(415, "This is not a JPEG, PNG or WebP picture.")
    width, height = size
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise PhotoRefused(413, f"The picture is {width}×{height}; {limit} megapixels may be.")
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MAX_SCANS:
        raise PhotoRefused(422, f"The JPEG has more than {MAX_SCANS} scans.")
    bgr = _decoded(content, max(width, height))
    if bgr is None:
        raise PhotoRefused(422, "The picture is damaged and cannot be decoded.")
    return bgr


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Width and height by the header; None for what is no JPEG, PNG or WebP."""
    try:
        if content.startswith(b"\xff\xd8\xff"):
            return _jpeg_size(content)
        if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
            return struct.unpack_from(">II", content, 16)
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _webp_size(content)
    except (struct.error, IndexError):  # the header is cut off
        pass
    return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """From the frame header, ITU-T T.81 B.2.2; DHT, JPG and DAC have numbers among its markers'."""
    at = 2
    while content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        (length,) = struct.unpack_from(">H", content, at + 2)
        at += 2 + length
    return None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """From the first chunk, RFC 9649 2.5 to 2.7."""
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _decoded(content: bytes, longest_px: int) -> ImageBgr | None:
    """The picture, at a half, a quarter or an eighth where it is large."""
    flag = cv2.IMREAD_COLOR
    for factor, smaller in (
        (2, cv2.IMREAD_REDUCED_COLOR_2),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (8, cv2.IMREAD_REDUCED_COLOR_8),
    ):
        if longest_px > LONGEST_PX * factor / 2:
            flag = smaller
    try:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    except cv2.error:
        return None
    return None if bgr is None else np.asarray(bgr, dtype=np.uint8)
