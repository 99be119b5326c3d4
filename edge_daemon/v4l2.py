"""V4L2: which video devices of this machine can capture pictures."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

# linux/videodev2.h: VIDIOC_QUERYCAP fills struct v4l2_capability.
_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("=16s32s32sIII12x")  # driver, card, bus, version, all caps, own caps
_CAPTURE = 0x00000001 | 0x00001000  # single- and multi-planar video capture
_HAS_OWN_CAPS = 0x80000000


def capture_devices(folder: Path = Path("/dev")) -> list[Path]:
    """The `video*` devices that capture, by number; metadata, codec and output nodes are not."""
    nodes = [p for p in folder.glob("video*") if p.name.removeprefix("video").isdigit()]
    nodes.sort(key=lambda p: int(p.name.removeprefix("video")))
    return [p for p in nodes if _captures(p)]


def _captures(node: Path) -> bool:
    answer = bytearray(_CAPABILITY.size)
    try:
        handle = os.open(node, os.O_RDWR | os.O_NONBLOCK)
        try:
            fcntl.ioctl(handle, _QUERYCAP, answer)
        finally:
            os.close(handle)
    except OSError:
        return False
    *_, all_caps, own_caps = _CAPABILITY.unpack(answer)
    return bool((own_caps if all_caps & _HAS_OWN_CAPS else all_caps) & _CAPTURE)
