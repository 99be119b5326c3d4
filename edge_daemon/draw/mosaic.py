"""Makes faces unrecognizable by a coarse mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from edge_daemon.core.types import Box, ImageBgr

# Blocks across the largest area, its margins included: about five across the face itself.
BLOCKS: Final = 8


def blur(bgr: ImageBgr, areas: Sequence[Box]) -> None:
    """Turn `areas` of `bgr` into a coarse mosaic, in place; areas may reach beyond the picture.

    All areas share one grid of blocks, so that overlapping areas do not show a face twice.
    """
    height, width = bgr.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for x, y, w, h in areas:
        cv2.rectangle(mask, (round(x), round(y)), (round(x + w), round(y + h)), 255, cv2.FILLED)
    block = max((max(area.w, area.h) for area in areas), default=0.0) / BLOCKS
    if block < 1:
        return
    size = max(round(width / block), 1), max(round(height / block), 1)
    coarse = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    mosaic = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    cv2.copyTo(mosaic, mask, bgr)
