"""Decodes pictures that tests receive."""

from __future__ import annotations

import cv2
import numpy as np

from edge_daemon.core.types import ImageBgr


def decoded(content: bytes) -> ImageBgr:
    """Decode a JPEG or PNG; fails if it is not a complete picture."""
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(bgr, np.uint8)
