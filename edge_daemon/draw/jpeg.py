"""Encodes pictures to JPEG, for the whole daemon."""

from __future__ import annotations

import cv2

from edge_daemon.core.types import ImageBgr


def encode_jpeg(bgr: ImageBgr, *, quality: int, width: int | None = None) -> bytes:
    """Encode `bgr` to a JPEG of `quality` 1 to 100, scaled down to `width` px if it is wider."""
    height, full = bgr.shape[:2]
    if width is not None and width < full:
        size = (width, max(1, round(height * width / full)))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    ok, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise RuntimeError("OpenCV could not encode the picture as JPEG")
    return jpeg.tobytes()
