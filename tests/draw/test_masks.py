"""Tests masks: no pixel that a shape covers is ever shown."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import ImageBgr
from edge_daemon.draw.masks import Masks

SIZES = [(640, 480), (33, 57), (1, 1), (1920, 1080)]


def shapes(seed: int) -> list[list[float]]:
    """Return random rectangles and polygons, some of which reach beyond the picture's edge."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0, 1, count).tolist() for count in (4, 6, 8, 12)]


def covered(shape: Sequence[float], x: float, y: float) -> bool:
    """Return whether the point (x, y), in shares of the picture, lies in the shape."""
    if len(shape) == 4:
        left, top, width, height = shape
        return left <= x <= left + width and top <= y <= top + height
    corners = np.array(shape, np.float32).reshape(-1, 1, 2)
    return cv2.pointPolygonTest(corners, (x, y), False) > 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(8))
def test_what_a_shape_covers_is_black(seed: int, size: tuple[int, int]) -> None:
    width, height = size
    masked = Masks(shapes(seed)).applied(Picture(np.full((height, width, 3), 255, np.uint8))).bgr
    rng = np.random.default_rng(seed)
    for _ in range(400):
        column, row = int(rng.integers(width)), int(rng.integers(height))
        x, y = (column + rng.random()) / width, (row + rng.random()) / height
        if any(covered(shape, x, y) for shape in shapes(seed)):
            assert not masked[row, column].any(), (shapes(seed), x, y)


def test_beside_a_shape_the_picture_stays_and_the_frame_is_not_written() -> None:
    bgr: ImageBgr = np.full((480, 640, 3), 200, np.uint8)
    masked = Masks([[0.25, 0.5, 0.25, 0.25]]).applied(Picture(bgr)).bgr
    assert np.all(bgr == 200)
    assert not masked[240:360, 160:320].any()
    masked[238:362, 158:322] = 200
    assert np.all(masked == 200)


def test_without_shapes_nothing_is_copied() -> None:
    picture = Picture(np.zeros((4, 4, 3), np.uint8))
    assert Masks().applied(picture) is picture


def test_a_new_picture_size_is_masked_anew() -> None:
    masks = Masks([[0, 0, 0.5, 1]])
    for width, height in ((640, 480), (320, 240), (640, 480)):
        masked = masks.applied(Picture(np.full((height, width, 3), 9, np.uint8))).bgr
        assert not masked[:, : width // 2].any()
        assert masked[:, width // 2 + 2 :].all()
