"""Composes frames in which the place and size of each face are known.

The faces are those of the clips of $MIEN_DATA and of the painted demo.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.clips import clips
from edge_daemon.capture.demo.scene import PERIOD_S, Demo
from edge_daemon.core.types import Box, ImageBgr
from edge_daemon.vision.detector import build_detector

MODELS = Path(__file__).resolve().parent.parent / "models"
EVERY = 8  # frames of a clip
DEMO_FRAMES = 12  # of the demo's minute
NOISE = 2.0  # standard deviation of a dark picture's noise, of 255


class Source(NamedTuple):
    """A frame, and the box of one face in it."""

    bgr: ImageBgr
    face: Box


class Composite(NamedTuple):
    """A composed frame, the box of its face, and the same frame before the face appeared."""

    bgr: ImageBgr
    face: Box
    before: ImageBgr


class Group(NamedTuple):
    """A composed frame and the boxes of its faces."""

    bgr: ImageBgr
    faces: Sequence[Box]
    before: ImageBgr


class Setting(NamedTuple):
    """How a face is shown: sizes in pixels, tilt in degrees, brightness as a factor."""

    face_px: int
    width: int = 640
    height: int = 480
    tilt: float = 0.0
    gain: float = 1.0


def sources(every: int = EVERY) -> list[Source]:
    """Return the faces in every `every`th frame of the clips.

    Full-range BlazeFace locates them at the clips' own size.
    """
    return _located(bgr for clip in clips() for bgr in islice(_frames(clip), 0, None, every))


def demo_sources() -> list[Source]:
    """Return the painted faces of the demo."""
    demo = Demo()
    return _located(demo.render(PERIOD_S * number / DEMO_FRAMES) for number in range(DEMO_FRAMES))


def composites(faces: Sequence[Source], setting: Setting, count: int) -> Iterator[Composite]:
    """Compose `count` frames, each time the same ones."""
    rng = random.Random(repr(setting))  # noqa: S311
    for source in rng.sample(faces, min(count, len(faces))):
        yield composite(source, setting, rng)


def composite(source: Source, setting: Setting, rng: random.Random) -> Composite:
    """Scale and turn the whole frame about its face, and lay it on its own blurred colors."""
    scale, (x, y) = setting.face_px / source.face.w, source.face.center
    margin = 0.75 * setting.face_px
    at_x, at_y = (_place(side, margin, rng) for side in (setting.width, setting.height))
    turn = math.radians(setting.tilt)
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    matrix = np.array([[cos, -sin, at_x - cos * x + sin * y], [sin, cos, at_y - sin * x - cos * y]])
    bgr = source.bgr
    while scale < 1 / 2:  # halve first, so that nothing aliases
        bgr = np.asarray(cv2.resize(bgr, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        matrix[:, :2] *= 2
        scale *= 2
    size = (setting.width, setting.height)
    before = np.asarray(cv2.resize(cv2.GaussianBlur(source.bgr, (0, 0), 25), size), np.uint8)
    canvas = before.copy()
    cv2.warpAffine(bgr, matrix, size, canvas, borderMode=cv2.BORDER_TRANSPARENT)
    half = setting.face_px / 2
    box = Box(at_x - half, at_y - half, setting.face_px, setting.face_px)
    return Composite(_darkened(canvas, setting.gain, rng), box, before)


def groups(
    faces: Sequence[Source], face_px: int, columns: int, rows: int, cell: tuple[int, int]
) -> Iterator[Group]:
    """Compose frames of `columns` × `rows` people, one in each cell, without end."""
    rng = random.Random(f"{face_px} {columns} {rows} {cell}")  # noqa: S311
    setting, (width, height) = Setting(face_px, *cell), cell
    while True:
        chosen = rng.sample(faces, columns * rows)
        shape = (rows * height, columns * width, 3)
        bgr, before = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        boxes = []
        for number, source in enumerate(chosen):
            row, column = divmod(number, columns)
            x, y = column * width, row * height
            made = composite(source, setting, rng)
            bgr[y : y + height, x : x + width] = made.bgr
            before[y : y + height, x : x + width] = made.before
            boxes.append(made.face._replace(x=made.face.x + x, y=made.face.y + y))
        yield Group(bgr, boxes, before)


def _located(pictures: Iterable[ImageBgr]) -> list[Source]:
    detector = build_detector("blazeface", models_dir=MODELS, face_range="full")
    return [Source(bgr, found.box) for bgr in pictures for found in detector.detect(bgr)]


def _place(length: int, margin: float, rng: random.Random) -> float:
    middle = length / 2
    return rng.uniform(min(margin, middle), max(length - margin, middle))


def _darkened(bgr: ImageBgr, gain: float, rng: random.Random) -> ImageBgr:
    if gain == 1:
        return bgr
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, NOISE, bgr.shape)
    return np.clip(bgr * gain + noise, 0, 255).astype(np.uint8)


def _frames(clip: Path) -> Iterator[ImageBgr]:
    video = cv2.VideoCapture(str(clip))
    while (read := video.read())[0]:
        yield np.asarray(read[1], np.uint8)
