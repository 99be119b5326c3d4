"""Follow faces from frame to frame: detections in, `Track`s with stable ids out.

The scheme is SORT's (Bewley et al., 2016, https://arxiv.org/abs/1602.00763): a Kalman filter says
where each face should be, and detections go to the faces they fit best by overlap and distance.
In place of the Hungarian method the best pair goes first: faces are few and far apart
(docs/adr/0005-closest-pair-first.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_daemon.core.types import Box, Detection, Eyes, Point, Track
from edge_daemon.vision.motion import Motion, first_motion

SPREADS = 2.0  # standard deviations of the prediction by which a face may be off
MAX_GROWTH = 2.0  # a box this many times as wide, or as narrow, is another face


@dataclass(slots=True)
class _Followed:
    """A face that is followed; `id` is 0 until it is confirmed."""

    last: Detection
    motion: Motion
    first_seen_s: float
    last_seen_s: float
    hits: int = 1
    id: int = 0


class Tracker:
    """Gives every face an id that it keeps while detections follow one another.

    A new face is shown once `confirm_hits` successive updates found it, so that a flickering
    false detection stays out. A shown face that is not found is predicted for `max_age_s` and
    then forgotten; found again later, it is a new one. `max_shift` is how far from its predicted
    place, in face widths, a detection may lie and still be the same face, on top of what the
    prediction itself is unsure of.

    The ids depend on the detections and their times alone: no clock, no chance.
    """

    def __init__(
        self, *, max_age_s: float = 1.0, confirm_hits: int = 3, max_shift: float = 0.3
    ) -> None:
        self._max_age_s = max_age_s
        self._confirm_hits = confirm_hits
        self._max_shift = max_shift
        self._followed: list[_Followed] = []
        self._ids = 0

    def adopt(self, old: Tracker) -> None:
        """Go on with the faces and ids of `old`."""
        self._followed, self._ids = old._followed, old._ids

    def update(self, detections: Sequence[Detection], now_s: float) -> list[Track]:
        """The tracks at `now_s`, which never goes back, in the order of their ids."""
        known = [each for each in self._followed if now_s - each.last_seen_s <= self._max_age_s]
        motions = [each.motion.after(now_s - each.last_seen_s) for each in known]
        fits = [
            [_fit(each.last.box, motion, found.box, self._max_shift) for found in detections]
            for each, motion in zip(known, motions, strict=True)
        ]
        pairs = self._assign(fits)
        for k, d in pairs.items():
            _see(known[k], motions[k], detections[d], now_s)
        self._followed = [each for k, each in enumerate(known) if k in pairs or each.id]
        taken = set(pairs.values())
        self._followed += [
            _found(detection, now_s) for d, detection in enumerate(detections) if d not in taken
        ]
        self._confirm()
        return self._tracks(now_s)

    def predict(self, now_s: float) -> list[Track]:
        """The tracks at `now_s`, a moment at which nobody looked for faces."""
        return self._tracks(now_s)

    def _tracks(self, now_s: float) -> list[Track]:
        shown = sorted((each for each in self._followed if each.id), key=lambda each: each.id)
        return [_track(each, now_s) for each in shown]

    def _assign(self, fits: Sequence[Sequence[float]]) -> dict[int, int]:
        """Which face each detection continues, as indices into `fits`, the best pairs first."""
        ranked = sorted(
            (
                (fit, k, d)
                for k, row in enumerate(fits)
                for d, fit in enumerate(row)
                if fit > -math.inf
            ),
            reverse=True,
        )
        pairs: dict[int, int] = {}
        for _, k, d in ranked:
            if k not in pairs and d not in pairs.values():
                pairs[k] = d
        return pairs

    def _confirm(self) -> None:
        for each in self._followed:
            if not each.id and each.hits >= self._confirm_hits:
                self._ids += 1
                each.id = self._ids


def _found(detection: Detection, now_s: float) -> _Followed:
    motion = first_motion(detection.box.centre, detection.box.w)
    return _Followed(detection, motion, now_s, now_s)


def _fit(before: Box, motion: Motion, box: Box, max_shift: float) -> float:
    """How well `box` continues a face last seen as `before` and predicted by `motion`.

    IoU less the distance of the centres in face widths; −inf if they cannot be one face.
    """
    if min(before.w, box.w) * MAX_GROWTH <= max(before.w, box.w):
        return -math.inf
    width = (before.w + box.w) / 2
    shift = math.dist(motion.place, box.centre)
    if shift > max_shift * width + SPREADS * motion.spread:
        return -math.inf
    return _moved(before, motion.place).iou(box) - shift / width


def _see(followed: _Followed, motion: Motion, detection: Detection, now_s: float) -> None:
    """Continue `followed`, predicted by `motion`, with `detection`."""
    followed.motion = motion.seen(detection.box.centre, detection.box.w)
    followed.last = detection
    followed.last_seen_s = now_s
    followed.hits += 1


def _moved(box: Box, centre: Point) -> Box:
    return Box(centre.x - box.w / 2, centre.y - box.h / 2, box.w, box.h)


def _track(followed: _Followed, now_s: float) -> Track:
    """`followed` as it was detected, moved on by the time since at its velocity."""
    unseen_s, velocity = now_s - followed.last_seen_s, followed.motion.velocity
    dx, dy = velocity.x * unseen_s, velocity.y * unseen_s
    box, eyes = followed.last.box, followed.last.eyes
    if eyes is not None:
        eyes = Eyes(*(Point(eye.x + dx, eye.y + dy) for eye in eyes))
    return Track(
        id=followed.id,
        box=box._replace(x=box.x + dx, y=box.y + dy),
        score=followed.last.score,
        eyes=eyes,
        seen=unseen_s == 0,
        first_seen_s=followed.first_seen_s,
        last_seen_s=followed.last_seen_s,
    )
