"""V4L2: which video devices of this machine capture pictures, and how fast in which format.

The structures are those of linux/videodev2.h.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("=16s32s32sIII12x")  # driver, card, bus, version, all caps, own caps
_CAPTURE = 0x00000001 | 0x00001000  # single- and multi-planar video capture
_HAS_OWN_CAPS = 0x80000000

_ENUM_FMT = 0xC0405602
_FORMAT = struct.Struct("=III32s4s16x")  # index, buffer type, flags, description, pixel format
_BUFFER_CAPTURE = 1
_ENUM_INTERVALS = 0xC034564B
_INTERVAL = struct.Struct("=I4sIIIII24x")  # index, format, width, height, type, shortest as n / d

MJPG = "MJPG"
_MOST = 64  # formats, or intervals of one, a driver may name; more is a loop


@dataclass(frozen=True, slots=True)
class VideoNode:
    """What a node says of itself; `formats` are the driver's four-letter names."""

    name: str
    captures: bool
    formats: tuple[str, ...]


def video_nodes(folder: Path = Path("/dev")) -> list[Path]:
    """The `video*` nodes, by number, whatever they are."""
    nodes = [p for p in folder.glob("video*") if p.name.removeprefix("video").isdigit()]
    return sorted(nodes, key=lambda p: int(p.name.removeprefix("video")))


def capture_devices(folder: Path = Path("/dev")) -> list[Path]:
    """The nodes that capture; those for metadata, codecs and output do not."""
    return [p for p in video_nodes(folder) if _captures(p)]


def describe(node: Path) -> VideoNode:
    """What `node` is, also while another process takes its pictures. Raises OSError."""
    with _opened(node) as handle:
        name, captures = _capability(handle)
        formats = tuple(code.decode("latin-1") for code in _formats(handle)) if captures else ()
    return VideoNode(name, captures, formats)


def frame_rates(node: Path, width: int, height: int) -> dict[str, float]:
    """The most frames a second at `width` × `height` by pixel format; empty where not told."""
    rates: dict[str, float] = {}
    try:
        with _opened(node) as handle:
            for code in _formats(handle):
                fastest = max(_rates(handle, code, width, height), default=0.0)
                if fastest:
                    rates[code.decode("latin-1")] = fastest
    except OSError:
        pass  # it is away: opening it will say so
    return rates


def prefers_mjpg(rates: Mapping[str, float], fps: float) -> bool:
    """Whether only MJPG reaches `fps`, or comes nearer than uncompressed pictures do.

    USB 2 carries 640×480 uncompressed at 30 frames a second, but not much more; where it is
    enough, it saves decoding.
    """
    plain = max((rate for code, rate in rates.items() if code != MJPG), default=0.0)
    return plain < min(fps, rates.get(MJPG, 0.0))


def _captures(node: Path) -> bool:
    try:
        with _opened(node) as handle:
            return _capability(handle)[1]
    except OSError:
        return False


def _capability(handle: int) -> tuple[str, bool]:
    """The device's name, and whether it captures."""
    answer = bytearray(_CAPABILITY.size)
    fcntl.ioctl(handle, _QUERYCAP, answer)
    _, card, *_, all_caps, own_caps = _CAPABILITY.unpack(answer)
    captures = (own_caps if all_caps & _HAS_OWN_CAPS else all_caps) & _CAPTURE
    return card.partition(b"\0")[0].decode("utf-8", "replace"), bool(captures)


def _formats(handle: int) -> Iterator[bytes]:
    for index in range(_MOST):
        answer = bytearray(_FORMAT.pack(index, _BUFFER_CAPTURE, 0, b"", b""))
        try:
            fcntl.ioctl(handle, _ENUM_FMT, answer)
        except OSError:  # EINVAL: there are no more
            return
        yield _FORMAT.unpack(answer)[4]


def _rates(handle: int, code: bytes, width: int, height: int) -> Iterator[float]:
    """The rates of one format; of a range, the fastest."""
    for index in range(_MOST):
        answer = bytearray(_INTERVAL.pack(index, code, width, height, 0, 0, 0))
        try:
            fcntl.ioctl(handle, _ENUM_INTERVALS, answer)
        except OSError:
            return
        *_, numerator, denominator = _INTERVAL.unpack(answer)
        if numerator:
            yield denominator / numerator


@contextmanager
def _opened(node: Path) -> Iterator[int]:
    handle = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)
