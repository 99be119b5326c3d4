"""Multipart: the bytes of a multipart/x-mixed-replace stream in, its whole JPEG pictures out.

RFC 2046, section 5.1, as lenient as cameras need it: the boundary's own dashes may be missing or
doubled, and a part may come without Content-Length. A part that was cut, or holds no whole JPEG,
is dropped.
"""

from __future__ import annotations

import re

_LONGEST_HEAD, _LONGEST_PART = 16_384, 32_000_000  # bytes; more is no camera
_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PADDING = b"\0\r\n"
_HEAD_END = re.compile(rb"\r?\n\r?\n")


class NotMultipartError(ValueError):
    """These bytes cannot be the stream of a camera."""


class Multipart:
    """Collects bytes and gives back the pictures in them, in order."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"--" + boundary.strip('"').lstrip("-").encode("latin-1")
        self._bytes = bytearray()

    @property
    def inside(self) -> bool:
        """Whether a part's content has begun and is not complete."""
        start = self._bytes.find(self._delimiter)
        return start >= 0 and _HEAD_END.search(self._bytes, start) is not None

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def next(self) -> bytes | None:
        """The next whole JPEG; None until more bytes are fed. Raises NotMultipartError."""
        while (body := self._next_body()) is not None:
            jpeg = body.rstrip(_PADDING)
            if jpeg.startswith(_JPEG_START) and jpeg.endswith(_JPEG_END):
                return jpeg
        return None

    def _next_body(self) -> bytes | None:
        start = self._bytes.find(self._delimiter)
        if start < 0:
            del self._bytes[: -len(self._delimiter)]  # it may have come by half
            return None
        del self._bytes[:start]
        head_end = _HEAD_END.search(self._bytes, 0, _LONGEST_HEAD)
        if head_end is None:
            if len(self._bytes) > _LONGEST_HEAD:
                raise NotMultipartError("sends parts without an end of their headers")
            return None
        body_at = head_end.end()
        length = _LENGTH.search(self._bytes, 0, body_at)
        body_end = self._body_end(body_at, int(length[1]) if length else None)
        if body_end is None:
            return None
        body = bytes(self._bytes[body_at:body_end])
        del self._bytes[:body_end]
        return body

    def _body_end(self, body_at: int, length: int | None) -> int | None:
        """Where the body ends: at the next part, or after `length` bytes if that is sooner."""
        following = self._bytes.find(b"\n" + self._delimiter, body_at)
        if length is not None and length <= _LONGEST_PART:
            promised = body_at + length
            if 0 <= following < promised:
                return following
            return promised if len(self._bytes) >= promised else None
        if length is not None or len(self._bytes) > _LONGEST_PART:
            raise NotMultipartError("sends parts too large for a picture")
        return following if following >= 0 else None
