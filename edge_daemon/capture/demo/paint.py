"""Drawing operations for the demo's portraits, on BGRA sheets premultiplied by alpha.

Drawing with alpha 255 on a transparent sheet keeps it premultiplied: anti-aliasing blends color and
alpha alike. Points are float pixels. Functions that return nothing draw in place.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Bgr = tuple[int, int, int]
Points = NDArray[np.float64]  # (n, 2), x and y
Sheet = NDArray[np.uint8]  # (height, width, 4), blue first, premultiplied by alpha
Shade = NDArray[np.uint8]  # (height / 2, width / 2), brightness; UNSHADED leaves a color as it is

UNSHADED = 128
_SUBPIXEL_BITS = 4
_SHADE_CURVES = tuple(  # blue, green and red as powers of the brightness
    np.clip(UNSHADED * (np.arange(256) / UNSHADED) ** power, 0, 255).astype(np.uint8)
    for power in (1.2, 1.1, 0.85)
)


def blank(height: int, width: int) -> Sheet:
    """Return a transparent sheet."""
    return np.zeros((height, width, 4), np.uint8)


def scaled(color: Bgr, factor: float) -> Bgr:
    """Return a color made darker (factor below 1) or lighter (above 1)."""
    blue, green, red = (min(255, round(c * factor)) for c in color)
    return blue, green, red


def ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> Points:
    """Return the outline of an ellipse around (x, y), rotated clockwise by `degrees`."""
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    a = np.radians(degrees)
    u, v = rx * np.cos(t), ry * np.sin(t)
    return np.column_stack([x + u * np.cos(a) - v * np.sin(a), y + u * np.sin(a) + v * np.cos(a)])


def smooth(points: Points) -> Points:
    """Return a closed Catmull-Rom curve through the points, with six points for each of them."""
    t = np.arange(6)[:, None] / 6
    p0, p1, p2, p3 = (np.roll(points, k, axis=0)[:, None] for k in (1, 0, -1, -2))
    curve = (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return np.asarray(curve / 2, dtype=np.float64).reshape(-1, 2)


def fill(sheet: Sheet, outline: Points, color: Bgr) -> None:
    """Fill a closed outline."""
    cv2.fillPoly(sheet, [_fixed(outline)], (*color, 255), cv2.LINE_AA, _SUBPIXEL_BITS)


def stroke(sheet: Sheet, path: Points, color: Bgr, width: int) -> None:
    """Draw an open path."""
    cv2.polylines(sheet, [_fixed(path)], False, (*color, 255), width, cv2.LINE_AA, _SUBPIXEL_BITS)


def darken(shade: Shade, path: Points, strength: float) -> None:
    """Darken a shade map along a path in sheet pixels; `strength` is 0 to 1."""
    depth = np.zeros_like(shade)
    value = (round(64 * strength),)
    cv2.polylines(depth, [_fixed(path / 2)], False, value, 2, cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.subtract(shade, depth, dst=shade)


def shaded(sheet: Sheet, shade: Shade) -> Sheet:
    """Return the sheet under a shade map; shadows become slightly warmer, as on skin."""
    planes = [cv2.LUT(shade, curve) for curve in _SHADE_CURVES]
    planes.append(np.full_like(shade, UNSHADED))
    large = cv2.resize(cv2.merge(planes), sheet.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(sheet, large, scale=1 / UNSHADED), np.uint8)


def cropped(sheet: Sheet) -> tuple[Sheet, tuple[int, int]]:
    """Crop a sheet to what is not transparent; also return the crop's left and top."""
    x, y, width, height = cv2.boundingRect(sheet[:, :, 3])
    return np.ascontiguousarray(sheet[y : y + height, x : x + width]), (x, y)


def inlay(sheet: Sheet, picture: Sheet, outline: Points, x: float, y: float) -> None:
    """Draw a picture centered on (x, y), clipped to an outline."""
    height, width = picture.shape[:2]
    left, top = round(x - width / 2), round(y - height / 2)
    mask = np.zeros((height, width, 4), np.uint8)
    local = _fixed(outline - (left, top))
    cv2.fillPoly(mask, [local], (255, 255, 255, 255), cv2.LINE_AA, _SUBPIXEL_BITS)
    under = sheet[top : top + height, left : left + width]
    inside = cv2.multiply(picture, mask, scale=1 / 255)
    outside = cv2.multiply(under, cv2.bitwise_not(mask), scale=1 / 255)
    cv2.add(inside, outside, dst=under)


def lay_over(under: NDArray[np.uint8], sheet: Sheet, left: int, top: int) -> None:
    """Draw a sheet over a BGR picture or a BGRA sheet, clipped to it."""
    x0, y0 = max(left, 0), max(top, 0)
    x1 = min(left + sheet.shape[1], under.shape[1])
    y1 = min(top + sheet.shape[0], under.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    over = sheet[y0 - top : y1 - top, x0 - left : x1 - left]
    target = under[y0:y1, x0:x1]
    channels = under.shape[2]
    through = cv2.merge([cv2.bitwise_not(over[:, :, 3])] * channels)
    cv2.multiply(target, through, dst=target, scale=1 / 255)
    cv2.add(target, over if channels == 4 else cv2.cvtColor(over, cv2.COLOR_BGRA2BGR), dst=target)


def _fixed(points: Points) -> NDArray[np.int32]:
    return np.rint(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
