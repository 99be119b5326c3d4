"""Reduces a picture to several scales and searches its regions at the scale they need."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from edge_daemon.core.frame import Picture, reduction
from edge_daemon.core.types import Box, Detection, ImageBgr
from edge_daemon.vision.blazeface import BlazeFace, Region
from edge_daemon.vision.plan import Size

# A picture is dark if the share BRIGHT of its samples is below DARK, of 255; it is brightened until
# they reach DARK. More brightening finds fewer faces, because noise grows with it
# (benchmarks/detection.md).
BRIGHT: Final = 0.98
SAMPLES: Final = 32  # rows and columns
DARK: Final = 45
MAX_GAIN: Final = 2.0


class Pyramid:
    """A picture at several scales, so that a large one is scanned without aliasing.

    It is first decoded with its sides divided by `factor`, and more finely where a region needs it.
    With `levels`, or if it is dark, it is halved repeatedly; otherwise only the decoder reduces it.
    """

    def __init__(self, picture: Picture, *, levels: bool = True, factor: int = 1) -> None:
        self.size = Size(*picture.size)
        self._picture = picture
        first = picture.reduced(factor)
        self.gain = _gain(first)
        self._has_levels = levels or self.gain > 1  # averaging halves the noise of a dark picture
        self._levels: list[ImageBgr] = []

    def search(
        self,
        network: BlazeFace,
        region: Region,
        *,
        detail: float = 1.0,
        min_score: float | None = None,
        most: int | None = None,
    ) -> list[Detection]:
        """Search `region`, given in pixels of the picture, at a level of enough `detail`."""
        if self._has_levels:
            level = max(math.floor(math.log2(region.side / network.input_px)), 0)
            bgr = self._level(level)
        else:
            bgr = self._picture.reduced(reduction(region.side, detail * network.input_px))
        x_scale = self.size.width / bgr.shape[1]
        y_scale = self.size.height / bgr.shape[0]
        center = region.center._replace(x=region.center.x / x_scale, y=region.center.y / y_scale)
        small = region._replace(center=center, side=region.side / max(x_scale, y_scale))
        found = network.search(bgr, small, min_score=min_score, most=most, gain=self.gain)
        return (
            found
            if x_scale == y_scale == 1
            else [_scaled(each, x_scale, y_scale) for each in found]
        )

    def _level(self, level: int) -> ImageBgr:
        if not self._levels:
            self._levels = [self._picture.bgr]
        while len(self._levels) <= level:
            last = self._levels[-1]
            half = (max(last.shape[1] // 2, 1), max(last.shape[0] // 2, 1))
            self._levels.append(
                np.asarray(cv2.resize(last, half, interpolation=cv2.INTER_AREA), np.uint8)
            )
        return self._levels[level]


def _gain(bgr: ImageBgr) -> float:
    """Return the factor that brightens a dark picture; 1 for others."""
    height, width = bgr.shape[:2]
    sample = bgr[:: max(height // SAMPLES, 1), :: max(width // SAMPLES, 1)].ravel()
    rank = round(BRIGHT * (len(sample) - 1))
    bright = float(np.partition(sample, rank)[rank])
    return min(max(DARK / max(bright, 1.0), 1.0), MAX_GAIN)


def _scaled(detection: Detection, x_scale: float, y_scale: float) -> Detection:
    x, y, w, h = detection.box
    eyes = detection.eyes
    if eyes is not None:
        left, right = (type(eye)(eye.x * x_scale, eye.y * y_scale) for eye in eyes)
        eyes = type(eyes)(left, right)
    return replace(
        detection, box=Box(x * x_scale, y * y_scale, w * x_scale, h * y_scale), eyes=eyes
    )
