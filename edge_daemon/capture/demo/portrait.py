"""Paints a softly shaded face with any expression; no photograph is used.

All lengths are pixels of a sheet (see `paint`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np

from edge_daemon.capture.demo.paint import (
    Points,
    Shade,
    Sheet,
    blank,
    cropped,
    darken,
    ellipse,
    fill,
    inlay,
    lay_over,
    scaled,
    shaded,
    stroke,
)
from edge_daemon.capture.demo.person import (
    CENTRE_X,
    Appearance,
    head_outline,
    paint_bust,
    paint_eyeball,
    paint_hair,
    shade_at_rest,
)

_EYES_Y, _EYES_DX = 158.0, 37.0
_MOUTH_Y = 233.0
_HEAD = np.s_[44:308, 70:270]  # where the head is in a sheet
_HEAD_HALF = np.s_[22:154, 35:135]  # the same in a shade map
_X = np.linspace(-1.0, 1.0, 25)  # along an eye or a mouth
_BULGE = 1.0 - _X**2
_T = np.linspace(0.0, 1.0, 8)
_BEZIER = np.column_stack([(1 - _T) ** 2, 2 * _T * (1 - _T), _T**2])
_MOUTH, _TEETH, _TONGUE = (34, 22, 56), (222, 232, 238), (92, 88, 178)
_LASHES = (26, 24, 30)


@dataclass(frozen=True, slots=True)
class Expression:
    """The movements of a face; 0 is a neutral face throughout, 1 a strong movement."""

    mouth_curve: float = 0.0  # corners up; below 0 down
    mouth_open: float = 0.0  # jaw drop
    mouth_wide: float = 0.0  # stretched sideways; below 0 pursed and round
    lip_press: float = 0.0  # thin, tight lips
    teeth: float = 0.0  # share of the upper teeth that an open mouth shows
    brow_raise: float = 0.0
    brow_inner: float = 0.0  # inner ends up; below 0 down and together
    eye_wide: float = 0.0  # wide; below 0 narrowed, -1 closed
    cheek_raise: float = 0.0
    nose_wrinkle: float = 0.0

    def blend(self, other: Expression, weight: float) -> Expression:
        """Mix with another expression; weight 0 is this one, 1 the other."""
        mixed = {
            f.name: (1 - weight) * getattr(self, f.name) + weight * getattr(other, f.name)
            for f in fields(self)
        }
        return Expression(**mixed)


class Portrait:
    """Paints one person; the parts that never change are painted once."""

    def __init__(self, appearance: Appearance) -> None:
        self._appearance = appearance
        self._bust = paint_bust(appearance)
        self._hair, self._hair_at = cropped(paint_hair(appearance))
        self._shade = shade_at_rest()
        self._eyeball = paint_eyeball(appearance.iris)

    def render(self, expression: Expression, turn: float = 0.0, nod: float = 0.0) -> Sheet:
        """Paint the person, (HEIGHT, WIDTH, 4); `turn` (right) and `nod` (down) are -1 to 1."""
        shift = np.array([9.0 * turn, 6.0 * nod])
        sheet = self._bust.copy()
        self._paint_skin(sheet, expression, shift)
        for side in (-1, 1):  # left and right in the picture
            self._paint_eye(sheet, expression, side, shift)
            self._paint_brow(sheet, expression, side, shift)
            self._paint_nostril(sheet, expression, side, shift)
        self._paint_mouth(sheet, expression, shift)
        left, top = self._hair_at
        lay_over(sheet, self._hair, left + round(3 * turn), top + round(2 * nod))
        return sheet

    def _paint_skin(self, sheet: Sheet, expression: Expression, shift: Points) -> None:
        for side in () if self._appearance.long_hair else (-1, 1):
            ear = ellipse(CENTRE_X + side * 88 - 0.5 * shift[0], 174, 13, 24, 8.0 * side)
            fill(sheet, ear, scaled(self._appearance.skin, 0.75))
        head = blank(*sheet.shape[:2])
        fill(head, head_outline(expression.mouth_open, shift), self._appearance.skin)
        shade = _with_folds(self._shade, expression, shift)
        lay_over(sheet[_HEAD], shaded(head[_HEAD], shade), left=0, top=0)

    def _paint_eye(self, sheet: Sheet, expression: Expression, side: int, shift: Points) -> None:
        open_ = float(np.clip(1.0 + expression.eye_wide, 0.0, 1.8))
        squeeze = 1 - 0.6 * expression.cheek_raise
        x, y = CENTRE_X + side * _EYES_DX + shift[0], _EYES_Y + shift[1]
        along = x + 22.0 * _X
        rim = y + 3.0 - 1.2 * side * _X
        upper = np.column_stack([along, rim - 13.0 * open_ * _BULGE**0.7])
        lower = np.column_stack([along, rim + 6.5 * open_ * squeeze * _BULGE**0.8])
        if open_ > 0.08:
            inlay(sheet, self._eyeball, np.vstack([upper, lower[::-1]]), x + 0.4 * shift[0], y)
        skin_shadow = scaled(self._appearance.skin, 0.6)
        stroke(sheet, (upper - np.column_stack([0 * _X, 4 + 2 * _BULGE]))[3:-3], skin_shadow, 1)
        stroke(sheet, lower[2:-2], skin_shadow, 1)
        lashes = upper - np.column_stack([0 * _X, 0.6 + 2.8 * _BULGE**0.5])
        fill(sheet, np.vstack([upper, lashes[::-1]]), _LASHES)

    def _paint_brow(self, sheet: Sheet, expression: Expression, side: int, shift: Points) -> None:
        up, frown = max(expression.brow_inner, 0.0), max(-expression.brow_inner, 0.0)
        t = np.linspace(0.0, 1.0, 16)  # from the inner to the outer end
        x = (16 - 7 * frown) + t * (50 + 4 * frown)
        arch = (9.0 - 3 * up) * np.sin(np.pi * np.clip(0.8 * t + 0.12, 0, 1))
        tilt = (17 * up - 15 * frown) * (1 - t) ** 1.3 - (7 * up - 5 * frown) * t
        y = _EYES_Y - 21 - arch - 17 * expression.brow_raise - tilt
        path = np.column_stack([CENTRE_X + side * x, y]) + 0.9 * shift
        half = np.column_stack([0 * t, 0.8 + 5.0 * (1 - t) ** 0.6 * np.clip(6 * t + 0.6, 0, 1)])
        fill(
            sheet, np.vstack([path - half, (path + half)[::-1]]), scaled(self._appearance.hair, 0.8)
        )

    def _paint_nostril(
        self, sheet: Sheet, expression: Expression, side: int, shift: Points
    ) -> None:
        x, y = np.array([CENTRE_X + 9 * side, 205 - 4 * expression.nose_wrinkle]) + 1.25 * shift
        fill(sheet, ellipse(x, y, 4.6, 2.3, 14.0 * side), scaled(self._appearance.skin, 0.4))

    def _paint_mouth(self, sheet: Sheet, expression: Expression, shift: Points) -> None:
        """Paint the lips around an opening with teeth and tongue."""
        e, lips = expression, self._appearance.lips
        origin = np.array([CENTRE_X, _MOUTH_Y]) + 1.05 * shift
        half = 31.0 * (1 + 0.42 * e.mouth_wide)
        rounded = min(max(-2 * e.mouth_wide, 0.0), 1.0)
        bulge = _BULGE ** (0.75 - 0.25 * rounded)
        line = 19.0 * e.mouth_curve * (_BULGE - 0.7)
        top = line - ((7 + 8 * rounded) * e.mouth_open + 5 * e.nose_wrinkle) * bulge
        bottom = line + (36 - 6 * rounded) * e.mouth_open * bulge
        full = 1 - 0.6 * e.lip_press
        bow = 1 - 0.3 * np.exp(-((_X / 0.16) ** 2))

        def path(y: Points) -> Points:
            return np.column_stack([half * _X, y]) + origin

        above = path(top - 7.5 * full * _BULGE**0.7 * bow)
        below = path(bottom + 10 * full * _BULGE**0.7)
        opening = np.vstack([path(top), path(bottom)[::-1]])
        fill(sheet, np.vstack([above, path(top)[::-1]]), scaled(lips, 0.84))
        fill(sheet, np.vstack([path(bottom), below[::-1]]), lips)
        stroke(sheet, path(bottom + 5 * full * _BULGE)[9:16], scaled(lips, 1.22), 2)
        if e.mouth_open > 0.02:
            inlay(sheet, _mouth_inside(e), opening, origin[0], origin[1])
        stroke(sheet, path(top), scaled(lips, 0.45), 2)


def _with_folds(at_rest: Shade, expression: Expression, shift: Points) -> Shade:
    """Return the head's part of the shade map, moved by `shift`, with the expression's folds."""
    move = np.array([[1, 0, shift[0] / 2], [0, 1, shift[1] / 2]])
    moved = cv2.warpAffine(at_rest, move, at_rest.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    shade = np.asarray(moved, np.uint8)
    for strength, path in _folds(expression):
        if strength > 0.05:
            darken(shade, path + shift, strength)
    return np.asarray(cv2.GaussianBlur(shade[_HEAD_HALF], (0, 0), 1.6), np.uint8)


def _folds(e: Expression) -> list[tuple[float, Points]]:
    """Return the strength (0 to 1) and the path of each fold."""
    frown, corner = max(-e.brow_inner, 0.0), 41.0 + 13 * e.mouth_wide
    folds = []
    for side in (-1, 1):
        folds += [
            (0.5, _arc(side, (12, 194), (19, 198), (15, 207))),
            (0.6 * e.cheek_raise, _arc(side, (19, 200), (corner, 206), (corner + 3, 234))),
            (0.4 * e.cheek_raise, _arc(side, (20, 178), (38, 184), (60, 172))),
            (0.6 * e.nose_wrinkle, _arc(side, (16, 190), (28, 198), (38, 226))),
            (0.7 * e.nose_wrinkle, _arc(side, (3, 158), (10, 166), (18, 168))),
            (0.7 * frown, _arc(side, (6, 122), (4, 132), (8, 142))),
            (-0.5 * e.mouth_curve, _arc(side, (33, 240), (38, 247), (38, 256))),
        ]
    for y in (97, 107):
        folds.append((0.4 * e.brow_raise, _arc(1, (-52, y + 3), (0, y - 5), (52, y + 3))))
    return folds


def _arc(side: int, *points: tuple[float, float]) -> Points:
    """Return a quadratic Bézier curve; x counts outward from the middle on `side`."""
    corners = np.array(points) * (side, 1) + (CENTRE_X, 0)
    return np.asarray(_BEZIER @ corners, np.float64)


def _mouth_inside(e: Expression) -> Sheet:
    """Paint the inside of an open mouth, with upper teeth and tongue, centered on the mouth."""
    sheet = blank(120, 110)
    sheet[:] = (*_MOUTH, 255)
    x, y = 55.0, 60.0
    fill(sheet, ellipse(x, y + 42 * e.mouth_open - 4, 20, 12), _TONGUE)
    if e.teeth > 0:
        line = 19.0 * e.mouth_curve * (_BULGE - 0.7) + y
        top = line - 12 * e.mouth_open - 6
        gum = np.column_stack([x + 50 * _X, top])
        edge = np.column_stack([x + 50 * _X, line + 12 * e.teeth * _BULGE**0.3])
        fill(sheet, np.vstack([gum, edge[::-1]]), _TEETH)
    return sheet
