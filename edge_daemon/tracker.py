"""Follow faces from frame to frame: detections in, `Track`s with stable ids out.

A track moves on at constant velocity until the next detection near it, the scheme of SORT (Bewley
et al., 2016, https://arxiv.org/abs/1602.00763) with a smoothed velocity in place of a Kalman
filter and the closest pair first in place of the Hungarian method: faces are few and far apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_daemon.types import Box, Detection, Eyes, Point, Track

VELOCITY_GAIN = 0.3  # weight of the newest displacement in the velocity
AT_REST = Point(0.0, 0.0)
COAST_S = 0.3  # an unseen face slows down with this time constant


@dataclass(slots=True)
class _Followed:
    """A face that is followed; `id` is 0 until it is confirmed."""

    last: Detection
    first_seen_s: float
    last_seen_s: float
    velocity: Point = AT_REST  # pixels a second
    hits: int = 1
    id: int = 0


class Tracker:
    """Gives every face an id that it keeps while detections follow one another.

    A new face is shown once `confirm_hits` successive updates found it, so that a flickering
    false detection stays out. A shown face that is not found is predicted for `max_age_s` and
    then forgotten; found again later, it is a new one. `max_shift` is how far from its predicted
    place, in face widths, a detection may lie and still be the same face.
    """

    def __init__(
        self, *, max_age_s: float = 1.0, confirm_hits: int = 3, max_shift: float = 0.7
    ) -> None:
        self._max_age_s = max_age_s
        self._confirm_hits = confirm_hits
        self._max_shift = max_shift
        self._followed: list[_Followed] = []
        self._ids = 0

    def update(self, detections: Sequence[Detection], now_s: float) -> list[Track]:
        """The tracks at `now_s`, which never goes back, in the order of their ids."""
        known = [each for each in self._followed if now_s - each.last_seen_s <= self._max_age_s]
        pairs = self._assign(known, detections, now_s)
        for k, d in pairs.items():
            _see(known[k], detections[d], now_s)
        self._followed = [each for k, each in enumerate(known) if k in pairs or each.id]
        taken = set(pairs.values())
        self._followed += [
            _Followed(detection, now_s, now_s)
            for d, detection in enumerate(detections)
            if d not in taken
        ]
        self._confirm()
        shown = sorted((each for each in self._followed if each.id), key=lambda each: each.id)
        return [_track(each, now_s) for each in shown]

    def _assign(
        self, known: Sequence[_Followed], detections: Sequence[Detection], now_s: float
    ) -> dict[int, int]:
        """Which of `known` each detection continues, as indices, the best pairs first."""
        places = [_moved(each, now_s)[0] for each in known]
        affinities = sorted(
            (
                (_affinity(place, detection.box, self._max_shift), k, d)
                for k, place in enumerate(places)
                for d, detection in enumerate(detections)
            ),
            reverse=True,
        )
        pairs: dict[int, int] = {}
        for affinity, k, d in affinities:
            if affinity > -math.inf and k not in pairs and d not in pairs.values():
                pairs[k] = d
        return pairs

    def _confirm(self) -> None:
        for each in self._followed:
            if not each.id and each.hits >= self._confirm_hits:
                self._ids += 1
                each.id = self._ids


def _affinity(place: Box, box: Box, max_shift: float) -> float:
    """IoU less the distance of the centres in face widths; −inf if they cannot be one face."""
    width = (place.w + box.w) / 2
    shift = math.dist(place.centre, box.centre)
    if width <= 0 or shift > max_shift * width or not 0.5 < place.w / width < 1.5:
        return -math.inf
    return place.iou(box) - shift / width


def _see(followed: _Followed, detection: Detection, now_s: float) -> None:
    """Continue `followed` with `detection`."""
    elapsed_s = now_s - followed.last_seen_s
    if elapsed_s > 0:
        was, now = followed.last.box.centre, detection.box.centre
        gain, velocity = VELOCITY_GAIN, followed.velocity
        followed.velocity = Point(
            velocity.x + gain * ((now.x - was.x) / elapsed_s - velocity.x),
            velocity.y + gain * ((now.y - was.y) / elapsed_s - velocity.y),
        )
    followed.last = detection
    followed.last_seen_s = now_s
    followed.hits += 1


def _moved(followed: _Followed, now_s: float) -> tuple[Box, Eyes | None]:
    """Where the face is predicted at `now_s`."""
    coasted_s = COAST_S * -math.expm1((followed.last_seen_s - now_s) / COAST_S)
    dx, dy = followed.velocity.x * coasted_s, followed.velocity.y * coasted_s
    box, eyes = followed.last.box, followed.last.eyes
    if eyes is not None:
        eyes = Eyes(*(Point(eye.x + dx, eye.y + dy) for eye in eyes))
    return Box(box.x + dx, box.y + dy, box.w, box.h), eyes


def _track(followed: _Followed, now_s: float) -> Track:
    box, eyes = _moved(followed, now_s)
    return Track(
        id=followed.id,
        box=box,
        score=followed.last.score,
        eyes=eyes,
        seen=followed.last_seen_s == now_s,
        first_seen_s=followed.first_seen_s,
        last_seen_s=followed.last_seen_s,
    )
