"""Pictures for tests, encoded by OpenCV and Pillow in every format, and decoded."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.core.types import ImageBgr

Encoder = Callable[[np.ndarray], bytes]


def by_opencv(suffix: str, *options: int) -> Encoder:
    def encode(bgr: np.ndarray) -> bytes:
        ok, content = cv2.imencode(suffix, bgr, list(options))
        assert ok
        return content.tobytes()

    return encode


def by_pillow(kind: str, **options: object) -> Encoder:
    def encode(bgr: np.ndarray) -> bytes:
        content = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1])).save(content, kind, **options)
        return content.getvalue()

    return encode


ENCODERS: dict[str, Encoder] = {
    "JPEG": by_opencv(".jpg"),
    "JPEG progressive": by_pillow("JPEG", progressive=True),
    "JPEG gray": lambda bgr: by_opencv(".jpg")(bgr[:, :, 0]),
    "PNG": by_opencv(".png"),
    "WebP": by_opencv(".webp", cv2.IMWRITE_WEBP_QUALITY, 90),
    "WebP lossless": by_pillow("WEBP", lossless=True),
    "WebP with EXIF": by_pillow("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "BMP": by_opencv(".bmp"),
    "TIFF": by_opencv(".tif"),
    "TIFF big": by_pillow("TIFF", big_tiff=True),
    "PNM": by_opencv(".ppm"),
    "GIF": by_pillow("GIF"),
    "AVIF": by_pillow("AVIF"),
    "JPEG 2000": by_pillow("JPEG2000"),
}


@functools.cache
def demo_scene() -> ImageBgr:
    """Return a picture of the demo with two faces, 640×480 pixels."""
    bgr = Demo().render(5.0)
    bgr.flags.writeable = False
    return bgr


def decoded(content: bytes) -> ImageBgr:
    """Decode a JPEG or PNG; fails if it is not a complete picture."""
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(bgr, np.uint8)
