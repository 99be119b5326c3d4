"""Detects cuts to another scene, and motion, from coarse thumbnails of the frames."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.frame import COARSEST, Picture
from edge_daemon.core.types import ImageGray

THUMBNAIL_COLUMNS: Final = 64
THUMBNAIL_ROWS: Final = 48
SAMPLED_ROWS: Final = 96  # of a picture, which a thumbnail averages
SIDE: Final = 32  # cells that are compared to find cuts
# At a cut the correlation of two thumbnails is below ALIKE and SPIKE times as far from 1 as usual,
# and more than CHANGED of the cells differ by more than LEVEL of 255. From one test clip to another
# at least 0.25 of the cells differ so; within a clip, and where people cross a plain wall, at most
# 0.14 do.
ALIKE: Final = 0.92
SPIKE: Final = 8.0
CHANGED: Final = 0.2
LEVEL: Final = 20.0
# Motion is a cell that became darker or brighter by more than MOTION_LEVEL, of 255, than it was up
# to REFERENCE_S or, for what comes slowly, up to SLOW_REFERENCE_S ago.
MOTION_COLUMNS: Final = 48
MOTION_ROWS: Final = 36
MOTION_LEVEL: Final = 10.0
MOTION_HZ: Final = 5.0  # comparisons a second; motion is noticed after 0.1 s on average
REFERENCE_S: Final = 0.5
SLOW_REFERENCE_S: Final = 4.0
AWAKE_S: Final = 1.0  # after motion; long enough for all turns of a search
TOLERANCE: Final = 0.1  # of the time between comparisons: frames do not arrive to the millisecond
RECENT: Final = 9  # frames whose median is the usual distance


class SceneCuts:
    """Compares each frame with the one before to find cuts; ignores changes of brightness."""

    def __init__(self) -> None:
        self._last: _Cells | None = None
        self._distances: deque[float] = deque(maxlen=RECENT)

    def adopt(self, old: SceneCuts) -> None:
        """Continue after the frames that `old` has compared."""
        self._last, self._distances = old._last, old._distances

    def is_cut(self, thumbnail: ImageGray) -> bool:
        """Return whether a frame's `thumbnail` shows another scene than the last one."""
        cells = _cells(thumbnail)
        last, self._last = self._last, cells
        if last is None:
            return False
        distance = 1 - cells.correlation(last)
        usual = statistics.median(self._distances) if self._distances else 0.0
        self._distances.append(distance)
        return distance > max(1 - ALIKE, SPIKE * usual) and cells.changed(last) > CHANGED


class MotionSensor:
    """Reports whether anything has moved within the last AWAKE_S seconds."""

    def __init__(self) -> None:
        self._recent: _Room | None = None
        self._slow: _Room | None = None
        self._compared_s = self._recent_s = self._slow_s = self._moved_s = -math.inf

    def is_due(self, now_s: float) -> bool:
        """Return whether the last comparison was long enough ago."""
        return now_s - self._compared_s >= (1 - TOLERANCE) / MOTION_HZ

    def compare(self, thumbnail: ImageGray, now_s: float) -> None:
        """Compare a frame's `thumbnail` with earlier ones."""
        self._compared_s = now_s
        size = (MOTION_COLUMNS, MOTION_ROWS)
        gray = cv2.resize(thumbnail, size, interpolation=cv2.INTER_AREA).ravel()
        room = _Room(gray.astype(np.float32), float(cv2.mean(gray)[0]))
        if _differ(room, self._recent) or _differ(room, self._slow):
            self._moved_s = now_s
        if now_s - self._recent_s >= REFERENCE_S:
            self._recent, self._recent_s = room, now_s
        # Also while something moves, so that the room is not compared with a person who has left.
        if self.is_awake(now_s) or now_s - self._slow_s >= SLOW_REFERENCE_S:
            self._slow, self._slow_s = room, now_s

    def is_awake(self, now_s: float) -> bool:
        """Return whether a comparison within the last AWAKE_S found motion."""
        return now_s - self._moved_s <= AWAKE_S


class _Room(NamedTuple):
    """MOTION_COLUMNS × MOTION_ROWS gray values, and their mean."""

    cells: NDArray[np.float32]
    mean: float


def _differ(room: _Room, before: _Room | None) -> bool:
    """Return whether a cell has changed by more than the light alone has."""
    if before is None:
        return True
    change = room.cells - np.float32((room.mean + 1) / (before.mean + 1)) * before.cells
    middle = len(change) // 2
    change -= np.partition(change, middle)[middle]  # np.median is slower, and imports much
    return float(cv2.norm(change, cv2.NORM_INF)) > MOTION_LEVEL


def thumbnail(picture: Picture) -> ImageGray:
    """Return the picture in gray, (THUMBNAIL_ROWS, THUMBNAIL_COLUMNS), from a sample of its rows.

    A JPEG is decoded as coarsely as possible.
    """
    bgr = picture.reduced(COARSEST)
    rows = bgr[:: max(bgr.shape[0] // SAMPLED_ROWS, 1)]
    gray = cv2.cvtColor(rows, cv2.COLOR_BGR2GRAY)
    size = (THUMBNAIL_COLUMNS, THUMBNAIL_ROWS)
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)


class _Cells(NamedTuple):
    """SIDE² gray values, their mean, and their standard deviation, at least 1."""

    values: NDArray[np.float64]
    mean: float
    deviation: float

    def correlation(self, other: _Cells) -> float:
        """Return how alike the cells are, −1 to 1, whatever their brightness and contrast."""
        product = float(self.values.dot(other.values)) / SIDE**2
        return (product - self.mean * other.mean) / (self.deviation * other.deviation)

    def changed(self, other: _Cells) -> float:
        """Return the share of cells that differ by more than LEVEL once the medians are equal."""
        change = np.abs(self._about_median - other._about_median)
        return int(np.count_nonzero(change > LEVEL)) / SIDE**2

    @property
    def _about_median(self) -> NDArray[np.float64]:
        return np.asarray(self.values - np.partition(self.values, SIDE**2 // 2)[SIDE**2 // 2])


def _cells(thumbnail: ImageGray) -> _Cells:
    small = cv2.resize(thumbnail, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    mean, deviation = (float(each.item()) for each in cv2.meanStdDev(small))
    return _Cells(small.ravel().astype(np.float64), mean, max(deviation, 1.0))
