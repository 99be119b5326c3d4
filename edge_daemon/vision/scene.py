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
# A cut is a correlation below ALIKE whose distance from 1 is SPIKE times the usual one. In the
# clips successive frames correlate by at least 0.95, and cuts between them by at most 0.90.
ALIKE: Final = 0.92
SPIKE: Final = 4.0
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
        self._last: NDArray[np.float32] | None = None
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
        distance = 1 - float((last * thumbnail).mean()) if last.any() and thumbnail.any() else 0.0
        usual = statistics.median(self._distances) if self._distances else 0.0
        self._distances.append(distance)
        return distance > max(1 - ALIKE, SPIKE * usual)


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
    """Return SIDE×SIDE smoothed gray values with mean 0 and variance 1."""
    height, width = bgr.shape[:2]
    rows = np.linspace(0, height - 1, 2 * SIDE).astype(int)
    columns = np.linspace(0, width - 1, 2 * SIDE).astype(int)
    gray = cv2.cvtColor(bgr[rows[:, None], columns], cv2.COLOR_BGR2GRAY)
    small = cv2.resize(cv2.blur(gray, (3, 3)), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    values = small.astype(np.float32)
    values -= values.mean()
    deviation = float(values.std())
    return values / deviation if deviation > 1 else np.zeros_like(values)
