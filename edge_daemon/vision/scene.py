"""Detects cuts to another scene, and motion, from coarse thumbnails of the frames."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.types import ImageBgr

SIDE: Final = 32  # of a thumbnail, in cells
# At a cut the thumbnails correlate by less than ALIKE, SPIKE times as far from 1 as usual, and more
# than CHANGED of the cells differ by more than LEVEL of 255. Between the clips it is at least 0.25
# of the cells, within them and where people cross a plain wall at most 0.14.
ALIKE: Final = 0.92
SPIKE: Final = 8.0
CHANGED: Final = 0.2
LEVEL: Final = 20.0
# Motion is a cell that became darker or brighter by more than MOTION_LEVEL, of 255.
MOTION_COLUMNS: Final = 48
MOTION_ROWS: Final = 36
MOTION_LEVEL: Final = 10.0
REFERENCE_S: Final = 0.5
AWAKE_S: Final = 1.0  # after motion: all turns of a search take place
RECENT: Final = 9  # frames whose median is the usual distance


class SceneCuts:
    """Compares each frame with the one before; a change of brightness alone is no cut."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None  # a thumbnail
        self._distances: deque[float] = deque(maxlen=RECENT)

    def adopt(self, old: SceneCuts) -> None:
        """Go on after the frames that `old` has seen."""
        self._last, self._distances = old._last, old._distances

    def is_cut(self, bgr: ImageBgr) -> bool:
        """Return whether `bgr` (height, width, 3) shows another scene than the last frame."""
        thumbnail = _thumbnail(bgr)
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        distance = 1 - float((_normalized(last) * _normalized(thumbnail)).mean())
        usual = statistics.median(self._distances) if self._distances else 0.0
        self._distances.append(distance)
        changed = float((np.abs(thumbnail - last) > LEVEL).mean())
        return distance > max(1 - ALIKE, SPIKE * usual) and changed > CHANGED


class MotionSensor:
    """Reports whether anything has moved within the last AWAKE_S seconds."""

    def __init__(self) -> None:
        self._reference: NDArray[np.float32] | None = None
        self._reference_s = self._moved_s = -math.inf

    def has_moved(self, bgr: ImageBgr, now_s: float) -> bool:
        """Compare `bgr` (height, width, 3) with a frame of up to REFERENCE_S before."""
        cells = cv2.resize(
            cv2.cvtColor(np.ascontiguousarray(bgr[::2, ::2]), cv2.COLOR_BGR2GRAY),
            (MOTION_COLUMNS, MOTION_ROWS),
            interpolation=cv2.INTER_AREA,
        ).astype(np.float32)
        if self._reference is None:
            self._moved_s = now_s
        else:
            change = cells - self._reference
            change -= np.median(change)  # the light alone
            if float(np.abs(change).max()) > MOTION_LEVEL:
                self._moved_s = now_s
        if now_s - self._reference_s >= REFERENCE_S:
            self._reference, self._reference_s = cells, now_s
        return now_s - self._moved_s <= AWAKE_S


def _thumbnail(bgr: ImageBgr) -> NDArray[np.float32]:
    """Return SIDE×SIDE smoothed gray values with median 0."""
    height, width = bgr.shape[:2]
    rows = np.linspace(0, height - 1, 2 * SIDE).astype(int)
    columns = np.linspace(0, width - 1, 2 * SIDE).astype(int)
    gray = cv2.cvtColor(bgr[rows[:, None], columns], cv2.COLOR_BGR2GRAY)
    small = cv2.resize(cv2.blur(gray, (3, 3)), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    values = small.astype(np.float32)
    return np.asarray(values - np.median(values), np.float32)


def _normalized(thumbnail: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values with mean 0 and variance 1."""
    values = thumbnail - thumbnail.mean()
    return np.asarray(values / max(float(values.std()), 1.0), np.float32)
