"""Finds whole JPEG pictures in a camera's stream.

Everything around the pictures may be wrong: boundaries that differ between header and body, lengths
that are zero or too small, padding and garbage between the parts. None of it is used. A picture
begins with the JPEG marker SOI and ends with EOI, and its segments are skipped by their lengths
(ITU-T T.81, annex B), so that a thumbnail inside does not end it.
"""

from __future__ import annotations

import re
from typing import Final

_LONGEST_PICTURE, _LONGEST_HEAD = 32_000_000, 4096  # bytes
_TRUSTED: Final = 3  # lengths in a row that were right
_LEAST: Final = 4  # bytes that may be the start of a picture
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_NO_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and RSTn
_START = re.compile(rb"\xff\xd8\xff[\xc0-\xff]")  # SOI and another marker, or fill bytes
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # all but stuffed zeros and restarts
_LENGTH = re.compile(rb"content-length:[ \t]*(\d{1,9})", re.IGNORECASE)
_PART_HEAD = re.compile(rb"\r?\n[^\xff]{0,4096}\Z")


class JpegSplitter:
    """Collects bytes and returns the pictures in them, in order.

    Some cameras never send EOI: a picture without it is accepted when the next one begins, unless
    the camera has sent EOI before, or a Content-Length says that bytes are missing.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._at = 0  # up to here the picture's markers have been followed; 0 between pictures
        self._in_scan = False
        self._header = b""  # of the last picture, up to its first scan
        self._is_known = False  # whether the picture has that header
        self._header_bytes = 0  # of the picture, once its first scan has begun
        self._has_eoi = False
        self._before = b""  # the end of what came before the picture
        self._right_lengths: int | None = 0  # in a row; None after a wrong one

    @property
    def inside(self) -> bool:
        """Whether a picture has begun and is not complete."""
        return self._at > 0

    @property
    def missing(self) -> int:
        """How many bytes the picture lacks at least, if lengths have been right so far; else 1."""
        if not self._at or self._right_lengths is None or self._right_lengths < _TRUSTED:
            return 1
        return max((self._promised() or 0) - len(self._bytes), 1)

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def next(self) -> bytes | None:
        """Return the next whole picture; None until more bytes are fed."""
        while self._begin():
            end = self._follow()
            if end is None:
                if len(self._bytes) > _LONGEST_PICTURE:
                    self._drop(len(self._bytes))
                return None
            with memoryview(self._bytes) as view:
                picture = bytes(view[:end])
            if not self._is_known:
                self._header = picture[: self._header_bytes]
            self._drop(end)
            if picture.endswith(b"\xff\xd9"):
                self._has_eoi = True
                self._judge_length(end)
                return picture
            if whole := self._without_eoi(picture):
                return whole
        return None

    def _begin(self) -> bool:
        """Move to the beginning of a picture; False if there is none yet."""
        if self._at:
            return True
        if len(self._bytes) < _LEAST:
            return False
        found = _START.search(self._bytes)
        if found is None:
            del self._bytes[:-_LONGEST_HEAD]
            return False
        start = found.start()
        self._before = bytes(self._bytes[max(0, start - _LONGEST_HEAD) : start])
        del self._bytes[:start]
        # Usually the header is that of the last picture; its segments need not be followed.
        self._is_known = bool(self._header) and self._bytes.startswith(self._header)
        self._in_scan = self._is_known
        self._header_bytes = len(self._header) if self._is_known else 0
        self._at = self._header_bytes or 2
        return True

    def _promised(self) -> int | None:
        """Return the length that the picture's part has stated; None if it has not."""
        lengths = _LENGTH.findall(self._before)
        return int(lengths[-1]) if lengths else None

    def _judge_length(self, actual: int) -> None:
        """Compare the length that a picture's part has stated with the `actual` one.

        Once lengths are trusted, one that is too large would make us wait for the next picture.
        """
        if self._right_lengths is not None:
            is_right = (self._promised() or 0) <= actual
            self._right_lengths = self._right_lengths + 1 if is_right else None

    def _drop(self, end: int) -> None:
        del self._bytes[:end]
        self._at = 0

    def _follow(self) -> int | None:
        """Follow the markers in the bytes so far; return the picture's end, None if not reached."""
        while True:
            marker = (_SCAN_END if self._in_scan else _MARKER).search(self._bytes, self._at)
            if marker is None:
                self._at = max(self._at, len(self._bytes) - 1)  # an FF may be half a marker
                return None
            code = self._bytes[marker.end() - 1]
            if code == _EOI:
                return marker.end()
            if code == _SOI:
                return marker.end() - 2
            if code in _NO_LENGTH:
                self._at = marker.end()
                continue
            segment = marker.end() + int.from_bytes(self._bytes[marker.end() : marker.end() + 2])
            if len(self._bytes) < max(segment, marker.end() + 2):
                self._at = marker.start()
                self._in_scan = False
                return None
            self._at, self._in_scan = segment, code == _SOS
            if code == _SOS:
                self._header_bytes = self._header_bytes or segment

    def _without_eoi(self, picture: bytes) -> bytes | None:
        """Return the picture without the next part's head, and with EOI; None if it may be cut."""
        head = picture.rfind(b"\n--")
        if head < 0 or len(picture) - head > _LONGEST_HEAD:
            match = _PART_HEAD.search(picture[-_LONGEST_HEAD:])
            head = len(picture) - (len(match[0]) if match else 0)
        promised = self._promised()
        is_cut = promised is not None and head < promised
        return None if self._has_eoi or is_cut else picture[:head].rstrip(b"\r") + b"\xff\xd9"
