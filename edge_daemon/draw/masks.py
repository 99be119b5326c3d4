"""Blackens the masked parts of every picture of the camera."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import ImageBgr

Shape = Sequence[float]  # x, y, width, height of a rectangle, or x, y of three or more corners

RECTANGLE = 4  # numbers
MOST_SIZES = 8  # masks that are kept: a camera's size changes rarely, and is decoded at four scales
FINE_BITS = 8  # OpenCV takes corners in fractions of a pixel
FINE = 1 << FINE_BITS


class Masks:
    """Blackens `shapes`, given in shares of the picture's width and height.

    A pixel that a shape touches becomes black.
    """

    def __init__(self, shapes: Sequence[Shape] = ()) -> None:
        self.shapes = tuple(shapes)
        self._outlines = [_outline(shape) for shape in shapes]
        self._masks: dict[tuple[int, int], NDArray[np.bool_]] = {}  # by size

    def applied(self, picture: Picture) -> Picture:
        """Return `picture` with the shapes black, at any scale at which it is decoded.

        Without shapes, returns the picture itself.
        """
        return picture.changed(self._blackened) if self._outlines else picture

    def _blackened(self, bgr: ImageBgr) -> ImageBgr:
        height, width = bgr.shape[:2]
        mask = self._masks.get((width, height))
        if mask is None:
            if len(self._masks) >= MOST_SIZES:
                self._masks = {}
            mask = self._masks[(width, height)] = self._painted(width, height) != 0
        masked = bgr.copy()
        masked[mask] = 0
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
