"""Composes frames in which the place and size of a face are known, from the clips of $MIEN_DATA."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.clips import clips
from edge_daemon.core.types import Box, ImageBgr
from edge_daemon.vision.detector import Detector, build_detector

MODELS = Path(__file__).resolve().parent.parent / "models"
EVERY = 8  # frames of a clip
NOISE = 2.0  # standard deviation of a dark picture's noise, of 255


class Source(NamedTuple):
    """A frame of a clip, and the box of one face in it."""

    bgr: ImageBgr
    face: Box


class Composite(NamedTuple):
    """A composed frame, and the box of its face."""

    bgr: ImageBgr
    face: Box


class Setting(NamedTuple):
    """How a face is shown: sizes in pixels, tilt in degrees, brightness as a factor."""

    face_px: int
    width: int = 640
    height: int = 480
    tilt: float = 0.0
    gain: float = 1.0


def sources() -> list[Source]:
    """Return the faces of the clips, located by full-range BlazeFace at the clips' own size."""
    detector = build_detector("blazeface", models_dir=MODELS, face_range="full")
    return [
        Source(bgr, found.box)
        for clip in clips()
        for bgr in _frames(clip)
        for found in detector.detect(bgr)
    ]


def composites(faces: Sequence[Source], setting: Setting, count: int) -> Iterator[Composite]:
    """Compose `count` frames, each time the same ones."""
    rng = random.Random(repr(setting))  # noqa: S311
    chosen = rng.sample(faces, min(count, len(faces)))
    for source in chosen:
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
    canvas = cv2.resize(cv2.GaussianBlur(source.bgr, (0, 0), 25), size)
    cv2.warpAffine(bgr, matrix, size, canvas, borderMode=cv2.BORDER_TRANSPARENT)
    half = setting.face_px / 2
    box = Box(at_x - half, at_y - half, setting.face_px, setting.face_px)
    return Composite(_darkened(np.asarray(canvas, np.uint8), setting.gain, rng), box)


def _place(length: int, margin: float, rng: random.Random) -> float:
    middle = length / 2
    return rng.uniform(min(margin, middle), max(length - margin, middle))


def is_found(detector: Detector, made: Composite) -> bool:
    """Return whether `detector` finds the face of `made`."""
    return any(found.box.iou(made.face) > 0.3 for found in detector.detect(made.bgr))


def _darkened(bgr: ImageBgr, gain: float, rng: random.Random) -> ImageBgr:
    if gain == 1:
        return bgr
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, NOISE, bgr.shape)
    return np.clip(bgr * gain + noise, 0, 255).astype(np.uint8)


def _frames(clip: Path) -> Iterator[ImageBgr]:
    video = cv2.VideoCapture(str(clip))
    number = 0
    while (read := video.read())[0]:
        if number % EVERY == 0:
            yield np.asarray(read[1], np.uint8)
        number += 1
