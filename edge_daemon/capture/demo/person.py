"""The appearance of a demo person, and the parts that stay the same in every expression.

All lengths are pixels of a sheet (see `paint`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_daemon.capture.demo.paint import (
    UNSHADED,
    Bgr,
    Points,
    Shade,
    Sheet,
    blank,
    ellipse,
    fill,
    scaled,
    shaded,
    smooth,
    stroke,
)

WIDTH, HEIGHT = 340, 520
CENTRE_X = 170.0
_MIDDLE = np.array([CENTRE_X, 0.0])

# Light from the upper left on a face without expression: x, y, spread x, spread y, strength.
_LIGHTS = (
    (150, 108, 48, 24, 0.16),  # forehead
    (116, 194, 20, 16, 0.14),  # cheeks
    (222, 194, 18, 16, 0.10),
    (167, 168, 6, 30, 0.15),  # bridge and tip of the nose
    (167, 198, 8, 6, 0.16),
    (166, 264, 16, 7, 0.10),  # chin
    (133, 148, 26, 11, -0.18),  # eye sockets
    (207, 148, 26, 11, -0.20),
    (153, 150, 6, 14, -0.08),  # sides of the nose
    (185, 172, 7, 30, -0.17),
    (170, 211, 17, 5, -0.24),  # below nose, lip and chin
    (170, 252, 18, 4, -0.16),
    (170, 292, 66, 13, -0.25),
    (264, 180, 26, 90, -0.34),  # temples and jaw
    (74, 190, 16, 90, -0.22),
    (170, 62, 90, 16, -0.25),  # under the hair
)


@dataclass(frozen=True, slots=True)
class Appearance:
    """A person's colors and hair."""

    skin: Bgr
    hair: Bgr
    lips: Bgr
    iris: Bgr
    shirt: Bgr
    long_hair: bool


def paint_bust(appearance: Appearance) -> Sheet:
    """Paint neck, shoulders and the hair behind them, (HEIGHT, WIDTH, 4)."""
    sheet = blank(HEIGHT, WIDTH)
    if appearance.long_hair:
        back = [(0, 26), (72, 44), (106, 110), (112, 200), (116, 300), (100, 346), (50, 356)]
        fill(sheet, _mirrored(back), scaled(appearance.hair, 0.62))
    neck = [(0, 236), (40, 238), (43, 280), (45, 318), (60, 342), (90, 360), (40, 400)]
    fill(sheet, _mirrored(neck), appearance.skin)
    shirt = [(0, 382), (26, 374), (46, 350), (60, 333), (76, 336), (116, 350), (150, 376)]
    fill(sheet, _mirrored([*shirt, (164, 440), (166, 540)]), appearance.shirt)
    light = _light(
        (
            (170, 284, 74, 34, -0.42),  # the chin's shadow on the neck
            (206, 320, 24, 40, -0.14),
            (120, 400, 60, 60, 0.12),
            (330, 440, 60, 120, -0.35),
            (10, 460, 30, 90, -0.25),
            (170, 520, 200, 60, -0.15),
        )
    )
    return shaded(sheet, light)


def paint_hair(appearance: Appearance) -> Sheet:
    """Paint the hair in front of the head, (HEIGHT, WIDTH, 4)."""
    sheet = blank(HEIGHT, WIDTH)
    outline = _long_hair() if appearance.long_hair else _short_hair()
    fill(sheet, outline, appearance.hair)
    return _combed(sheet, appearance)


def paint_eyeball(iris: Bgr) -> Sheet:
    """Paint an open eye without lids, 52×46 px, with a shadow at its top."""
    sheet = np.full((46, 52, 4), 255, np.uint8)
    sheet[:, :, :3] = (228, 234, 238)
    for radius, color in ((11.5, scaled(iris, 0.45)), (10.0, iris), (4.8, (14, 12, 12))):
        fill(sheet, ellipse(26, 23, radius, radius), color)
    fill(sheet, ellipse(22.5, 19, 2.6, 2.6), (250, 250, 250))
    lit = np.clip(np.linspace(0.45, 1.5, 46), 0, 1)[:, None, None]
    sheet[:, :, :3] = (sheet[:, :, :3] * lit).astype(np.uint8)
    return cv2.GaussianBlur(sheet, (0, 0), 0.6).astype(np.uint8)


def shade_at_rest() -> Shade:
    """Return the shade map of a face without expression, half the size of a sheet."""
    return _light(_LIGHTS)


def head_outline(jaw: float, shift: Points) -> Points:
    """Return a face's outline; `shift` moves the chin most, `jaw` (0 to 1) lengthens it."""
    drop = 20.0 * jaw
    right = [(0, 56), (45, 66), (78, 100), (86, 150), (81, 198), (65, 238 + 0.5 * drop)]
    points = _corners([*right, (42, 263 + drop), (17, 276 + drop)])
    lean = np.clip((points[:, 1:] - 60) / 220, 0, 1) * shift * (0.35, 0.5)
    return smooth(points + lean)


def _short_hair() -> Points:
    right = [(0, 30), (50, 36), (84, 66), (95, 112), (92, 160), (86, 168), (82, 136), (74, 106)]
    left = [(-72, 104), (-82, 136), (-86, 168), (-92, 160), (-95, 112), (-86, 70), (-52, 40)]
    points = np.array([*right, (58, 80), (20, 88), (-30, 78), (-58, 92), *left])
    return smooth(points + _MIDDLE)


def _long_hair() -> Points:
    """Return the outline of shoulder-length hair, parted left of the middle."""
    right = [(-18, 36), (30, 30), (80, 56), (106, 120), (112, 220), (122, 310), (100, 352)]
    right += [(84, 330), (90, 250), (88, 180), (76, 124), (40, 92)]
    left = [(-44, 84), (-72, 112), (-86, 170), (-90, 250), (-84, 326), (-98, 350), (-120, 312)]
    left += [(-112, 220), (-106, 120), (-80, 58)]
    points = np.array([*right, (-18, 66), *left], dtype=np.float64)
    return smooth(points + _MIDDLE)


def _combed(sheet: Sheet, appearance: Appearance) -> Sheet:
    """Draw strands into the hair, lighter where light falls on it."""
    strands = sheet.copy()
    rng = np.random.default_rng(7)
    for angle in np.linspace(-1.5, 1.5, 90):
        reach = np.linspace(0.15, 1.0, 12)
        x = CENTRE_X - 14 + np.sin(angle) * 120 * reach**0.7 + rng.normal(0, 2)
        y = 40 + (1 - np.cos(angle)) * 130 * reach + 290 * reach**3 * abs(angle) / 1.5
        color = scaled(appearance.hair, float(rng.uniform(0.7, 1.5)))
        stroke(strands, np.column_stack([x, y]), color, 2)
    alpha = cv2.merge([sheet[:, :, 3]] * 4)
    strands[:] = cv2.multiply(cv2.GaussianBlur(strands, (0, 0), 0.8), alpha, scale=1 / 255)
    strands[:, :, 3] = sheet[:, :, 3]
    light = _light(((120, 60, 40, 18, 0.35), (275, 240, 40, 130, -0.3), (170, 100, 70, 12, -0.2)))
    return shaded(strands, light)


def _light(blobs: tuple[tuple[float, float, float, float, float], ...]) -> Shade:
    """Sum soft lights and shadows, each given as x, y, spread x, spread y, strength."""
    y, x = np.mgrid[0:HEIGHT:2, 0:WIDTH:2]
    total = np.ones(x.shape)
    for cx, cy, sx, sy, strength in blobs:
        total += strength * np.exp(-(((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))
    return np.asarray(np.clip(total * UNSHADED, 0, 255), np.uint8)


def _corners(right: Sequence[tuple[float, float]]) -> Points:
    """Return a right half (x from the middle, y) and its mirror image, clockwise."""
    left = [(-x, y) for x, y in reversed(right) if x > 0]
    return np.asarray(np.array([*right, *left]) + _MIDDLE, np.float64)


def _mirrored(right: Sequence[tuple[float, float]]) -> Points:
    return smooth(_corners(right))
