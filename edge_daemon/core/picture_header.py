"""Reads the format and size of a picture from its header, before anything is decoded.

The parsers must find the same size as the decoders. Otherwise a file of a few kilobytes that
decodes to gigabytes could pass the check.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

JPEG: Final = "JPEG"
TIFF: Final = "TIFF"
HEIC: Final = "HEIC"
AVIF: Final = "AVIF"

# A marker with a segment, as libjpeg's next_marker() finds it: it skips garbage, fill bytes,
# stuffed zeros (FF00), and the markers without a length, TEM (FF01) and RSTn (FFD0 to FFD7).
_JPEG_MARKER: Final = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_APP1: Final = 0xE1  # EXIF or other metadata
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # without DHT, JPG, DAC
_DECODED_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})  # not lossless or hierarchical
_ONE_SCAN_FRAMES: Final = frozenset({0xC0, 0xC1})  # baseline and extended: may need one scan only

_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"heif"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_STILL_BRANDS: Final = frozenset({b"mif1", b"msf1"})  # the other brands name the codec

# The value types of whole numbers, signed ones too: libtiff accepts any of them for a size.
_TIFF_NUMBERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}
_TIFF_SUBFILE_TYPE, _TIFF_WIDTH, _TIFF_HEIGHT = 254, 256, 257
_TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 322, 323


class BadHeader(ValueError):
    """The header is cut off or contradicts itself."""


class RareKind(BadHeader):
    """The header is of a kind that no decoder here has; the text names it."""


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """The size and cost of a picture as its header states them, before EXIF rotation.

    A JPEG is decoded in `scans` passes over all pixels; more than one pass needs a buffer of
    `coefficient_bytes`. `has_exif` is whether the JPEG carries EXIF data. Of a JPEG of one scan,
    only the first `header_bytes` were read. A TIFF may be stored in tiles of `tile_pixels`.
    `is_reduced` marks the thumbnail at the start of a camera's raw file.
    """

    width: int
    height: int
    scans: int = 1
    coefficient_bytes: int = 0
    has_exif: bool = False
    header_bytes: int = 0
    tile_pixels: int = 0
    is_reduced: bool = False


def picture_format(content: bytes) -> str | None:
    """Return the name of the picture format that `content` begins with; None for anything else."""
    for name, signature in (
        (JPEG, b"\xff\xd8\xff"),
        ("PNG", b"\x89PNG\r\n\x1a\n"),
        ("GIF", b"GIF87a"),
        ("GIF", b"GIF89a"),
        (TIFF, b"II*\0"),
        (TIFF, b"MM\0*"),
        (TIFF, b"II+\0"),
        (TIFF, b"MM\0+"),
        ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n"),
        ("JPEG 2000", b"\xff\x4f\xff\x51"),
        ("JPEG XL", b"\xff\x0a"),
        ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ):
        if content.startswith(signature):
            return name
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp":
        return _iso_format(content)
    if content[:2] == b"BM" and content[14:18] in {bytes([n, 0, 0, 0]) for n in (12, 40, 108, 124)}:
        return "BMP"
    return "PNM" if re.match(rb"P[1-6]\s", content) else None


def read_header(content: bytes) -> PictureHeader:
    """Read the header of a JPEG, PNG, WebP, BMP, TIFF or PNM. Raises BadHeader."""
    parsers: dict[str | None, Callable[[bytes], PictureHeader]] = {
        JPEG: _jpeg,
        "PNG": _png,
        "WebP": _webp,
        "BMP": _bmp,
        TIFF: _tiff,
        "PNM": _pnm,
    }
    try:
        return parsers[picture_format(content)](content)
    except (struct.error, IndexError, KeyError) as error:
        raise BadHeader("the header is cut off") from error


def _iso_format(content: bytes) -> str | None:
    """Return AVIF or HEIC by the brands in the `ftyp` box (ISO/IEC 14496-12); None for videos."""
    length = min(int.from_bytes(content[:4], "big"), 256)
    major = content[8:12]
    brands = {major, *(content[at : at + 4] for at in range(16, length, 4))}
    if major not in _HEIC_BRANDS | _AVIF_BRANDS | _STILL_BRANDS:
        return None
    return AVIF if brands & _AVIF_BRANDS else HEIC


def _jpeg(content: bytes) -> PictureHeader:
    """Read the markers in the way libjpeg does (ITU-T T.81, B.1 and B.2).

    Scans are counted up to EOI, because other data may follow it. A JPEG of a single scan is read
    only up to that scan.
    """
    at, width, height, scans, coefficient_bytes, has_exif = 2, 0, 0, 0, 0, False
    while found := _JPEG_MARKER.search(content, at):
        marker, at = found[1][0], found.end()
        if marker == _EOI:
            break
        if marker == _SOI or (marker in _FRAME_HEADERS and width):
            raise BadHeader("the header holds a second picture")
        if marker in _FRAME_HEADERS:
            if marker not in _DECODED_FRAMES:
                raise RareKind("a lossless or hierarchical JPEG")
            bits, height, width = struct.unpack_from(">BHH", content, at + 2)
            if bits != 8:
                raise RareKind(f"a JPEG of {bits} bits")
            components = content[at + 7]
            coefficient_bytes = _coefficient_bytes(content, at + 8, components, width * height)
            may_have_one_scan = marker in _ONE_SCAN_FRAMES
        has_exif |= marker == _APP1
        if marker == _SOS:
            if not width:
                break
            scans += 1
            if may_have_one_scan and content[at + 2] == components:
                return PictureHeader(width, height, has_exif=has_exif, header_bytes=at + 3)
        if scans and at + 2 > len(content):
            break
        (length,) = struct.unpack_from(">H", content, at)
        at += max(length, 2)
    if not scans:
        raise BadHeader("the header is cut off")
    return PictureHeader(width, height, scans, coefficient_bytes, has_exif)


def _coefficient_bytes(content: bytes, at: int, components: int, pixels: int) -> int:
    """Return the size of libjpeg's buffer: two bytes per sample of all components."""
    samplings = [divmod(content[at + 3 * n + 1], 16) for n in range(components)]
    largest = max((h for h, _ in samplings), default=0) * max((v for _, v in samplings), default=0)
    if not largest:
        raise BadHeader("the header names no component")
    return 2 * pixels * sum(h * v for h, v in samplings) // largest


def _png(content: bytes) -> PictureHeader:
    if content[12:16] != b"IHDR":
        raise BadHeader("the header is damaged")
    return PictureHeader(*struct.unpack_from(">II", content, 16))


def _webp(content: bytes) -> PictureHeader:
    """Read the first chunk (RFC 9649, 2.5 to 2.7)."""
    kind = content[12:16]
    if kind == b"VP8X":
        struct.unpack_from("10s", content, 20)  # raises struct.error if the chunk is cut off
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    else:
        raise BadHeader("the header is damaged")
    return PictureHeader(width, height)


def _bmp(content: bytes) -> PictureHeader:
    """Read the size; a negative height means that the rows go from top to bottom."""
    if content[14] == 12:
        return PictureHeader(*struct.unpack_from("<HH", content, 18))
    width, height = struct.unpack_from("<ii", content, 18)
    return PictureHeader(abs(width), abs(height))


def _tiff(content: bytes) -> PictureHeader:
    """Read the first directory (TIFF 6.0, section 2; BigTIFF has wider offsets).

    A tile may be larger than the picture and is decoded whole.
    """
    order = "<" if content[:1] == b"I" else ">"
    is_big = b"+" in content[2:4]
    (at,) = struct.unpack_from(order + ("Q" if is_big else "I"), content, 8 if is_big else 4)
    (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), content, at)
    at += 8 if is_big else 2
    entry_bytes, value_offset = (20, 12) if is_big else (12, 8)
    tags: dict[int, int] = {}
    for place in range(at, at + min(count, 512) * entry_bytes, entry_bytes):
        tag, kind = struct.unpack_from(order + "HH", content, place)
        if kind in _TIFF_NUMBERS:
            value_format = order + _TIFF_NUMBERS[kind]
            (value,) = struct.unpack_from(value_format, content, place + value_offset)
            tags[tag] = max(value, tags.get(tag, 0))  # of a repeated tag, decoders use either
    return PictureHeader(
        tags[_TIFF_WIDTH],
        tags[_TIFF_HEIGHT],
        tile_pixels=tags.get(_TIFF_TILE_WIDTH, 0) * tags.get(_TIFF_TILE_HEIGHT, 0),
        is_reduced=bool(tags.get(_TIFF_SUBFILE_TYPE, 0) & 1),
    )


def _pnm(content: bytes) -> PictureHeader:
    """Read the two numbers after the signature; comments run from # to the end of their line."""
    words = re.sub(rb"#[^\n]*", b"", content[2:4096]).split(maxsplit=2)
    try:
        width, height = int(words[0]), int(words[1])
    except ValueError as error:
        raise BadHeader("the header is damaged") from error
    return PictureHeader(width, height)
