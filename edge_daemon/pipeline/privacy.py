"""Remembers where faces were, so that they stay blurred when the detector misses them.

Four rules keep a face blurred. Weak detections are blurred too. A frame is shown only after the
frames of the next `HINDSIGHT_S` were searched. A face that is only predicted is blurred in a
growing area. The place of a detected face stays blurred for `HOLD_S`. A face that is never detected
cannot be blurred; `benchmarks/blurred_entrances.py` measures how often one is shown.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from edge_daemon.core.types import Box, Detection, Track, View

HOLD_S = 2.0
HINDSIGHT_S = 0.5
WEAK_SCORE = 0.2  # lowest score of a detection that is blurred
MARGIN = 0.35  # of the box on every side: hair, ears and chin
MARGIN_PER_S = 1.0  # added for each second that a face is only predicted


class BlurAreas:
    """Collects the areas to blur from successive frames."""

    def __init__(self) -> None:
        self._held: deque[Box] = deque()
        self._held_s: deque[float] = deque()  # when each was detected

    def update(
        self, detections: Sequence[Detection], tracks: Sequence[Track], now_s: float
    ) -> tuple[Box, ...]:
        """Return the areas to blur at `now_s`, which must not decrease between calls."""
        for detection in detections:
            self._held.append(_grown(detection.box, MARGIN))
            self._held_s.append(now_s)
        while self._held_s and now_s - self._held_s[0] > HOLD_S:
            self._held_s.popleft()
            self._held.popleft()
        predicted = [
            _grown(track.box, MARGIN + MARGIN_PER_S * (now_s - track.last_seen_s))
            for track in tracks
            if not track.seen
        ]
        return (*self._held, *predicted)


class ViewDelay:
    """Delays blurred views by `HINDSIGHT_S`, so that later detections cover them too."""

    def __init__(self) -> None:
        self._views: deque[View] = deque()

    def put(self, view: View) -> Iterator[View]:
        """Add `view` and yield the views that are due, with the blur areas of `view`."""
        if not (view.drawing.blur or self._views):
            yield view
            return
        self._views.append(view)
        hindsight_s = HINDSIGHT_S if view.drawing.blur else 0.0
        yield from self._until(view.frame.captured_s - hindsight_s, view)

    def flush(self) -> Iterator[View]:
        """Yield the remaining views; call it after the last frame."""
        if self._views:
            yield from self._until(math.inf, self._views[-1])

    def clear(self) -> None:
        """Discard the remaining views."""
        self._views.clear()

    def _until(self, until_s: float, last: View) -> Iterator[View]:
        while self._views and self._views[0].frame.captured_s <= until_s:
            yield replace(self._views.popleft(), blur_areas=last.blur_areas, drawing=last.drawing)


def _grown(box: Box, margin: float) -> Box:
    """Return `box` grown by `margin` of its size on every side."""
    dx, dy = margin * box.w, margin * box.h
    return Box(box.x - dx, box.y - dy, box.w + 2 * dx, box.h + 2 * dy)
