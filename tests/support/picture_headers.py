"""Headers that claim a size, single damaged bytes, and why a picture is refused."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import strategies as st

from edge_daemon.core.picture import MAX_PIXELS, PictureRefused, RefusalKind, decode_picture

SCAN_HEADER = b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00"
# Places in a file, as `edited` counts them, and the bytes that are written there.
EDITS = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=8)


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def frame_header(width: int, height: int) -> bytes:
    """JPEG's SOF0 of three components."""
    components = bytes([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1])
    return b"\xff\xc0\x00\x11\x08" + struct.pack(">HHB", height, width, 3) + components


def tiff_header(width: int, height: int, **tiles: int) -> bytes:
    tags = {256: width, 257: height} | {int(tag[1:]): value for tag, value in tiles.items()}
    return tiff_of(*((tag, 4, value) for tag, value in tags.items()))


def tiff_of(*entries: tuple[int, int, int]) -> bytes:
    """Return the header of a TIFF with these tags, kinds of numbers and values."""
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4)


def gif_header(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHH", 0, 0, width, height) + b"\0\x08\0"
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\xf0\0\0" + bytes(6) + frame


def refusal_of(content: bytes, max_pixels: int = MAX_PIXELS) -> RefusalKind:
    """Return why the picture is refused; its reason can be part of a sentence."""
    with pytest.raises(PictureRefused) as caught:
        decode_picture(content, max_pixels=max_pixels)
    assert str(caught.value)[0].islower()
    assert not str(caught.value).endswith(".")
    return caught.value.kind


def edited(content: bytes, edits: list[tuple[int, int]], first: int = 0) -> bytes:
    """Replace single bytes from `first` on."""
    changed = bytearray(content)
    for place, value in edits:
        changed[first + place % (len(changed) - first)] = value
    return bytes(changed)
