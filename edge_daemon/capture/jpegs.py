"""Turns the JPEGs of one camera into pictures that are decoded later."""

from __future__ import annotations

from typing import Final

from edge_daemon.core.frame import COARSEST, Picture, read_picture
from edge_daemon.core.picture_header import JPEG

_FORMATS: Final = frozenset({JPEG})
# Larger pictures are reduced while they are decoded, or dropped, so that memory is bounded.
_REDUCED_PIXELS, _MOST_PIXELS = 8_300_000, 24_000_000
# The Huffman tables of ITU-T T.81, K.3, as DHT segments.
_TABLES: Final = bytes.fromhex(
    "ffc4001f0000010501010101010100000000000000000102030405060708090a0bffc400b51000020103"
    "03020403050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552"
    "d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a53545556575859"
    "5a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9"
    "aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4"
    "f5f6f7f8f9faffc4001f0100030101010101010101010000000000000102030405060708090a0bffc400"
    "b51100020102040403040705040400010277000102031104052131061241510761711322328108144291"
    "a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738393a434445464748494a"
    "535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999a"
    "a2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7"
    "e8e9eaf2f3f4f5f6f7f8f9fa"
)
_DHT, _APP0, _EOI = b"\xff\xc4", b"\xff\xe0", b"\xff\xd9"


class CameraJpegs:
    """Makes pictures of the JPEGs of one camera.

    The first one is decoded at once, as a check; so is each one after a failure, so that a camera
    that sends only damaged pictures is noticed. The others are decoded when they are needed.
    """

    def __init__(self) -> None:
        self._last: Picture | None = None

    def picture(self, jpeg: bytes) -> Picture:
        """Return the picture of `jpeg`. Raises PictureRefused."""
        last, self._last = self._last, None
        picture = read_picture(
            jpeg,
            formats=_FORMATS,
            max_pixels=_MOST_PIXELS,
            reduced_pixels=_REDUCED_PIXELS,
            last=last,
        )
        if last is None or last.is_refused:
            picture.reduced(COARSEST)
        self._last = picture
        return picture


def device_jpeg(buffer: bytes) -> bytes:
    """Return the JPEG in a V4L2 driver's buffer, completed so that any decoder can read it.

    Cameras omit the standard Huffman tables, and some pad their buffers.
    """
    jpeg = buffer[: buffer.rfind(_EOI) + len(_EOI)]
    if _DHT in jpeg:
        return jpeg
    is_app0_first = jpeg[2:4] == _APP0
    at = 4 + int.from_bytes(jpeg[4:6]) if is_app0_first else 2
    return jpeg[:at] + _TABLES + jpeg[at:]
