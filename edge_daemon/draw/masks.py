"""Blackens parts of every picture of the camera."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.types import ImageBgr

Shape = Sequence[float]  # x, y, width, height of a rectangle, or x, y of three or more corners

RECTANGLE = 4  # numbers
FINE = 1 << 8  # steps of a pixel in which OpenCV takes corners
FINE_BITS = 8


class Masks:
    """Blackens `shapes`, given in shares of the picture's width and height.

    Pixels that a shape touches are black as a whole.
    """

    def __init__(self, shapes: Sequence[Shape] = ()) -> None:
        self.shapes = tuple(shapes)
        self._outlines = [_outline(shape) for shape in shapes]
        self._size = (0, 0)
        self._mask = np.zeros((0, 0), np.uint8)

    def applied(self, bgr: ImageBgr) -> ImageBgr:
        """Return `bgr` (height, width, 3) with the shapes black; itself if there are none."""
        if not self._outlines:
            return bgr
        height, width = bgr.shape[:2]
        if self._size != (width, height):
            self._size, self._mask = (width, height), self._painted(width, height)
        masked = bgr.copy()
        masked[self._mask != 0] = 0
        return masked

    def _painted(self, width: int, height: int) -> NDArray[np.uint8]:
        mask = np.zeros((height, width), np.uint8)
        for outline in self._outlines:
            # Pixel centers lie at whole numbers in OpenCV, half a pixel off the picture's edge.
            corners = np.rint((outline * (width, height) - 0.5) * FINE).astype(np.int32)
            cv2.fillPoly(mask, [corners], 255, cv2.LINE_8, FINE_BITS)
        # Grow by a pixel, so that no touched pixel is left out.
        return np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.uint8)


def _outline(shape: Shape) -> NDArray[np.float64]:
    """Return the corners (n, 2) of a shape in shares of the picture."""
    if len(shape) == RECTANGLE:
        x, y, w, h = shape
        return np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
    return np.array(shape, np.float64).reshape(-1, 2)
