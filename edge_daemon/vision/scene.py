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
# Motion is a cell that became darker or brighter by more than MOTION_LEVEL, of 255.
MOTION_COLUMNS: Final = 48
MOTION_ROWS: Final = 36
MOTION_LEVEL: Final = 10.0
REFERENCE_S: Final = 0.5
AWAKE_S: Final = 1.0  # after motion; long enough for all turns of a search
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
        distance = 1 - float(np.dot(last.normalized, cells.normalized)) / SIDE**2
        usual = statistics.median(self._distances) if self._distances else 0.0
        self._distances.append(distance)
        changed = int(np.count_nonzero(np.abs(cells.values - last.values) > LEVEL)) / SIDE**2
        return distance > max(1 - ALIKE, SPIKE * usual) and changed > CHANGED


class MotionSensor:
    """Reports whether anything has moved within the last AWAKE_S seconds."""

    def __init__(self) -> None:
        self._reference: NDArray[np.float32] | None = None
        self._reference_s = self._moved_s = -math.inf

    def has_moved(self, thumbnail: ImageGray, now_s: float) -> bool:
        """Compare a frame's `thumbnail` with one of up to REFERENCE_S before."""
        cells = cv2.resize(
            thumbnail, (MOTION_COLUMNS, MOTION_ROWS), interpolation=cv2.INTER_AREA
        ).astype(np.float32)
        if self._reference is None:
            self._moved_s = now_s
        else:
            change = cells - self._reference
            change -= np.median(change)  # a change of the light
            if float(np.abs(change).max()) > MOTION_LEVEL:
                self._moved_s = now_s
        if now_s - self._reference_s >= REFERENCE_S:
            self._reference, self._reference_s = cells, now_s
        return self.is_awake(now_s)

    def is_awake(self, now_s: float) -> bool:
        """Return whether a comparison within the last AWAKE_S found motion."""
        return now_s - self._moved_s <= AWAKE_S


def thumbnail(picture: Picture) -> ImageGray:
    """Return the picture in gray, (THUMBNAIL_ROWS, THUMBNAIL_COLUMNS), from a sample of its rows.

    A JPEG is decoded as coarsely as possible.
    """
    bgr = picture.reduced(COARSEST)
    rows = bgr[:: max(bgr.shape[0] // SAMPLED_ROWS, 1)]
    size = (THUMBNAIL_COLUMNS, THUMBNAIL_ROWS)
    small = cv2.resize(rows, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)


class _Cells(NamedTuple):
    """SIDE² gray values, shifted to median 0, and normalized to mean 0 and variance 1."""

    values: NDArray[np.float32]
    normalized: NDArray[np.float32]


def _cells(thumbnail: ImageGray) -> _Cells:
    small = cv2.resize(thumbnail, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    values = small.ravel().astype(np.float32)
    mean, deviation = (float(each.item()) for each in cv2.meanStdDev(small))
    normalized = (values - mean) / np.float32(max(deviation, 1.0))
    return _Cells(values - np.partition(values, SIDE**2 // 2)[SIDE**2 // 2], normalized)
