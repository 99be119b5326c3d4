"""The built-in demo: two painted people whose expressions change over a minute.

It needs no camera, file or network. The same time always gives the same picture, and the real
detector and classifier work on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, pi, sin

import cv2
import numpy as np

from edge_daemon.capture.demo.paint import Points, Sheet, lay_over
from edge_daemon.capture.demo.person import CENTRE_X, HEIGHT, WIDTH, Appearance
from edge_daemon.capture.demo.portrait import Expression, Portrait
from edge_daemon.core.types import ImageBgr

PERIOD_S = 60.0  # the scene repeats after this time
_HOLD_S = 6.0  # duration of an expression, including the change to it
_MORPH_S = 0.9
_BLINK_S = 0.22

# Blurred lamps: x in picture widths; y and radius in picture heights; strength.
_LAMPS = ((0.06, 0.2, 0.09, 0.14), (0.5, 0.12, 0.06, 0.1), (0.93, 0.28, 0.1, 0.12))

_NEUTRAL = Expression()
_HAPPY = Expression(
    mouth_curve=1.0,
    mouth_open=0.35,
    mouth_wide=0.75,
    teeth=1.0,
    cheek_raise=1.0,
    eye_wide=-0.3,
    brow_raise=0.1,
)
_SURPRISE = Expression(mouth_open=1.0, mouth_wide=-0.5, brow_raise=1.0, eye_wide=0.6)
_SAD = Expression(mouth_curve=-1.0, mouth_wide=-0.1, lip_press=0.2, brow_inner=1.0, eye_wide=-0.35)
_ANGRY = Expression(
    mouth_curve=-0.55,
    mouth_wide=0.1,
    lip_press=0.8,
    brow_inner=-1.0,
    brow_raise=-0.3,
    eye_wide=-0.1,
    nose_wrinkle=0.4,
)
_FEAR = Expression(
    mouth_curve=-0.5,
    mouth_open=0.45,
    mouth_wide=0.5,
    teeth=0.5,
    brow_raise=0.7,
    brow_inner=0.8,
    eye_wide=0.6,
)


@dataclass(frozen=True, slots=True)
class _Actor:
    """A person and their part: an expression every `_HOLD_S` seconds, a blink every `blink_s`."""

    portrait: Portrait
    play: tuple[Expression, ...]
    x: float  # of the middle of the head, in a 640×480 picture
    y: float  # of the top of the sheet
    scale: float
    blink_s: float
    phase: float  # of the movements, so that the people move differently
    leaves: bool  # whether the person leaves the picture once in a period


class Demo:
    """The scene at a picture size; it is designed for 640×480 and scaled to others."""

    def __init__(self, width: int = 640, height: int = 480) -> None:
        self._scale = min(width / 640, height / 480)
        self._origin = np.array([(width - 640 * self._scale) / 2, height - 480 * self._scale])
        self._backdrop = _paint_backdrop(width, height)
        self._actors = _cast()

    def render(self, t_s: float) -> ImageBgr:
        """Render the picture at `t_s` seconds, (height, width, 3) BGR."""
        bgr = self._backdrop.copy()
        for actor in self._actors:
            self._show(bgr, actor, t_s % PERIOD_S)
        return bgr

    def _show(self, bgr: ImageBgr, actor: _Actor, t_s: float) -> None:
        """Draw the person, who sways slowly, rolls slightly and moves back and forth."""
        away = _absence(t_s) if actor.leaves else 0.0
        if away == 1.0:
            return
        sway = _wave(t_s, 4, actor.phase), _wave(t_s, 7, actor.phase)
        expression = _blinking(_played(actor.play, t_s), actor.blink_s, t_s)
        sheet = actor.portrait.render(expression, turn=sway[0], nod=0.6 * sway[1])
        scale = self._scale * actor.scale * (1 + 0.04 * _wave(t_s, 3, actor.phase))
        x = actor.x + 18 * _wave(t_s, 2, actor.phase) + 330 * away
        y = actor.y + 5 * sway[1]
        place = self._origin + self._scale * np.array([x, y])
        _place(bgr, sheet, place, scale, degrees=2.5 * _wave(t_s, 5, actor.phase))


def _place(bgr: ImageBgr, sheet: Sheet, place: Points, scale: float, degrees: float) -> None:
    """Draw a sheet with its top center at `place`, scaled, and rotated around its foot."""
    x, y = float(place[0]), float(place[1])
    foot = (CENTRE_X, 420.0)
    move = cv2.getRotationMatrix2D(foot, degrees, scale)
    left, top = int(x - scale * WIDTH / 2) - 16, int(y)
    move[:, 2] += np.array([x - left - foot[0], y - top + (scale - 1) * foot[1]])
    size = (int(scale * WIDTH) + 32, min(int(scale * HEIGHT), bgr.shape[0] - top))
    lay_over(bgr, cv2.warpAffine(sheet, move, size).astype(np.uint8, copy=False), left, top)


def _played(play: tuple[Expression, ...], t_s: float) -> Expression:
    """Return the expression at `t_s`, blended from the previous one."""
    index, since_s = divmod(t_s, _HOLD_S)
    before, now = play[int(index) - 1], play[int(index)]
    return before.blend(now, _ease(since_s / _MORPH_S))


def _blinking(expression: Expression, every_s: float, t_s: float) -> Expression:
    """Return the expression with closed eyes for a moment every `every_s` seconds."""
    into = t_s % every_s / _BLINK_S
    if into >= 1:
        return expression
    return expression.blend(replace(expression, eye_wide=-1.0), sin(pi * into))


def _absence(t_s: float) -> float:
    """Return how far the leaving person is out of the picture, 0 to 1 (not visible)."""
    return _ease((t_s - 44) / 2.5) - _ease((t_s - 52) / 2.5)


def _wave(t_s: float, turns: int, phase: float) -> float:
    """Return a slow movement between -1 and 1, repeated `turns` times in a period."""
    return sin(2 * pi * turns * t_s / PERIOD_S + phase)


def _ease(x: float) -> float:
    """Rise smoothly from 0 at x ≤ 0 to 1 at x ≥ 1."""
    return (1 - cos(pi * min(max(x, 0.0), 1.0))) / 2


def _cast() -> tuple[_Actor, _Actor]:
    brown_hair = Appearance(
        skin=(160, 190, 232),
        hair=(38, 56, 88),
        lips=(98, 96, 186),
        iris=(120, 110, 60),
        shirt=(120, 84, 58),
        long_hair=True,
    )
    black_hair = Appearance(
        skin=(96, 138, 190),
        hair=(24, 26, 32),
        lips=(82, 84, 142),
        iris=(30, 52, 84),
        shirt=(96, 120, 90),
        long_hair=False,
    )
    her_play = (
        _NEUTRAL,
        _HAPPY,
        _NEUTRAL,
        _SURPRISE,
        _HAPPY,
        _SAD,
        _NEUTRAL,
        _ANGRY,
        _FEAR,
        _HAPPY,
    )
    his_play = (
        _HAPPY,
        _NEUTRAL,
        _SURPRISE,
        _NEUTRAL,
        _ANGRY,
        _NEUTRAL,
        _SAD,
        _HAPPY,
        _NEUTRAL,
        _SURPRISE,
    )
    return (
        _Actor(Portrait(brown_hair), her_play, 195, 70, 0.92, 4.0, 0.0, leaves=False),
        _Actor(Portrait(black_hair), his_play, 455, 92, 0.84, 5.0, 2.1, leaves=True),
    )


def _paint_backdrop(width: int, height: int) -> ImageBgr:
    """Paint a blurred room: a wall lit from the left, soft lamps and some grain."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 0.72 + 0.3 * np.exp(-(((x - 0.25) / 0.5) ** 2 + ((y - 0.3) / 0.6) ** 2)) - 0.2 * y
    for cx, cy, r, strength in _LAMPS:
        away = np.hypot((x - cx) * width / height, y - cy)
        light += strength / (1 + np.exp((away - r) * 60))
    grain = np.random.default_rng(1).normal(0, 1.5, (height, width, 1))
    wall = light[:, :, None] * np.array([176.0, 172.0, 160.0]) + grain
    return np.asarray(np.clip(wall, 0, 255), np.uint8)
