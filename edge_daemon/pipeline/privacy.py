"""Where faces may be: detections and tracks of successive frames in, areas to blur out.

A face stays blurred where the detector does not find it: before it is sure (weak detections count,
and a frame is shown only when `HINDSIGHT_S` of later ones have been searched), while it is only
predicted (in a growing area), and for `HOLD_S` after it was found (where it was). What is never
detected cannot be blurred. `benchmarks/blurred_entrances.py` measures what gets through.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from edge_daemon.core.types import Box, Detection, Track, View

HOLD_S = 2.0
HINDSIGHT_S = 0.5  # what is found so soon after a frame is blurred in it, too
WEAK_SCORE = 0.2  # of detections that are blurred, though they may not count as faces
MARGIN = 0.35  # of the box on every side: hair, ears and chin
MARGIN_PER_S = 1.0  # more for each second that a face is only predicted


class Veil:
    """Remembers where faces were, as they move on."""

    def __init__(self) -> None:
        self._held: deque[tuple[float, Box]] = deque()

    def update(
        self, detections: Sequence[Detection], tracks: Sequence[Track], now_s: float
    ) -> tuple[Box, ...]:
        """The areas to blur at `now_s`, which never goes back."""
        found = [_grown(detection.box, MARGIN) for detection in detections]
        self._held += [(now_s, box) for box in found]
        while self._held and now_s - self._held[0][0] > HOLD_S:
            self._held.popleft()
        predicted = [
            _grown(track.box, MARGIN + MARGIN_PER_S * (now_s - track.last_seen_s))
            for track in tracks
            if not track.seen
        ]
        return (*(box for _, box in self._held), *predicted)


class HoldBack:
    """Keeps views with blurred faces until what is found soon after them covers them, too."""

    def __init__(self) -> None:
        self._views: deque[View] = deque()

    def put(self, view: View) -> Iterator[View]:
        """Take `view`; give those whose time has come, all as `view` is drawn and veiled."""
        self._views.append(view)
        hindsight_s = HINDSIGHT_S if view.drawing.blur else 0.0
        yield from self._until(view.frame.captured_s - hindsight_s, view)

    def rest(self) -> Iterator[View]:
        """Give the others, as nothing comes after them."""
        if self._views:
            yield from self._until(math.inf, self._views[-1])

    def clear(self) -> None:
        """Forget them: they are not shown at all."""
        self._views.clear()

    def _until(self, until_s: float, last: View) -> Iterator[View]:
        while self._views and self._views[0].frame.captured_s <= until_s:
            yield replace(self._views.popleft(), veil=last.veil, drawing=last.drawing)


def _grown(box: Box, margin: float) -> Box:
    """`box` with `margin` of its size more on every side."""
    dx, dy = margin * box.w, margin * box.h
    return Box(box.x - dx, box.y - dy, box.w + 2 * dx, box.h + 2 * dy)
