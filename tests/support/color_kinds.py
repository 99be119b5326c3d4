"""Encodes pictures in kinds of color that OpenCV and Pillow do not write by an option."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from edge_daemon.core.types import ImageBgr
from support.pictures import Encoder

_ADOBE = b"Adobe"  # starts a segment; its twelfth byte names the transform of the colors
_YCCK = 2
# Colorants under D50 and the exponent, of ProPhoto RGB (ISO 22028-2).
_PRO_PHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.00009), (0.03134, 0.00008, 0.82481))
_PRO_PHOTO_GAMMA = 1.8
_D50 = (0.9642, 1.0, 0.8249)


def _inks(bgr: ImageBgr) -> NDArray[np.uint8]:
    """Return cyan, magenta, yellow and as much black as possible, 255 for full ink."""
    ink = 255.0 - bgr[:, :, ::-1]
    black = ink.min(axis=2, keepdims=True)
    color = (ink - black) * 255 / np.maximum(255 - black, 1)
    return np.concatenate([color, black], axis=2).round().astype(np.uint8)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def cmyk(kind: str, **options: object) -> Encoder:
    """Return an encoder of printers' colors; a JPEG has them inverted, as Adobe writes them."""
    return lambda bgr: _saved(Image.fromarray(_inks(bgr), "CMYK"), kind, **options)


def ycck(bgr: ImageBgr) -> bytes:
    """Encode as Photoshop writes a JPEG for print: inverted inks, the first three as YCbCr."""
    inks = _inks(bgr)
    y, cr, cb = cv2.split(cv2.cvtColor(np.ascontiguousarray(inks[:, :, :3]), cv2.COLOR_RGB2YCrCb))
    # Pillow inverts all that it saves, and names no transform.
    planes = np.dstack([255 - y, 255 - cb, 255 - cr, inks[:, :, 3]])
    content = bytearray(_saved(Image.fromarray(planes, "CMYK"), "JPEG", quality=92))
    content[content.index(_ADOBE) + 11] = _YCCK
    return bytes(content)


def wide_gamut(bgr: ImageBgr) -> bytes:
    """Encode as a JPEG in ProPhoto RGB, with its profile."""
    profile = _profile()
    image = Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1]))
    wide = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile))
    )
    assert wide is not None
    return _saved(wide, "JPEG", quality=92, icc_profile=profile)


def gray_of_16_bits(bgr: ImageBgr) -> bytes:
    """Encode as a gray PNG of 16 bits; its levels are those of 8 bits times 257."""
    gray = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(np.uint16) * 257
    return cv2.imencode(".png", gray)[1].tobytes()


def _profile() -> bytes:
    """Return an ICC profile of three colorants and an exponent (ICC.1:2001-04, 6.3.1.2)."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)

    name = b"wide\0"
    text = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(_PRO_PHOTO_GAMMA * 256)) + bytes(2)
    elements = {
        b"desc": text.ljust(-(-len(text) // 4) * 4, b"\0"),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed(*_D50),
    }
    for color, colorant in zip(b"rgb", _PRO_PHOTO, strict=True):
        elements[bytes([color]) + b"XYZ"] = b"XYZ " + bytes(4) + fixed(*colorant)
        elements[bytes([color]) + b"TRC"] = curve
    at = 128 + 4 + 12 * len(elements)
    table, data = struct.pack(">I", len(elements)), b""
    for signature, element in elements.items():
        table += signature + struct.pack(">II", at + len(data), len(element))
        data += element
    head = struct.pack(">I4xI4s4s4s", at + len(data), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(*_D50)
    return head.ljust(128, b"\0") + table + data
