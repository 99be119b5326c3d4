"""Tracks faces from frame to frame and gives them stable ids.

The method is SORT's (Bewley et al., 2016, https://arxiv.org/abs/1602.00763): a Kalman filter
predicts where each face is, and detections are assigned by overlap and distance. The best pair is
assigned first instead of by the Hungarian method, because faces are few and far apart
(docs/adr/0005-closest-pair-first.md).
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from edge_daemon.core.types import Box, Detection, Eyes, Point, Track
from edge_daemon.vision.motion import Motion, initial_motion
from edge_daemon.vision.plan import Known, tilt_of

SPREADS = 2.0  # standard deviations of the prediction that a face may be off
CONFIRM_HITS = 3
AGE_UPDATES = 2.5  # a track is predicted for at least this many usual gaps between updates
MAX_GAP_S = 10.0  # longer gaps between updates count as this
NEW_UPDATES = 7.0  # a face is new for this many usual gaps; all turns of a search then take place
RECENT = 9  # gaps whose median is the usual one
MAX_GROWTH = 2.0  # a box this many times wider or narrower belongs to another face


def hits_for(gap_s: float) -> int:
    """Return how many detections, `gap_s` apart, confirm a face: about 0.2 seconds of them."""
    if gap_s < 0.15:
        return CONFIRM_HITS
    return 2 if gap_s < 0.5 else 1


@dataclass(slots=True)
class _FaceState:
    """A face being followed; `id` is 0 until it is confirmed."""

    last: Detection
    motion: Motion
    first_seen_s: float
    last_seen_s: float
    hits: int = 1
    id: int = 0


class Tracker:
    """Gives every face an id that it keeps from detection to detection.

    A new face becomes a track after `confirm_hits` successive updates detected it, so that
    flickering false detections are dropped; fewer are needed where updates are far apart. A track
    without a detection is predicted for `max_age_s`, or for AGE_UPDATES updates where these are far
    apart, and then ends; if the face comes back, it gets a new id. `max_shift` is how far a
    detection may be from the predicted position, in face widths, beyond the uncertainty of the
    prediction.

    The ids depend on the detections and their times alone.
    """

    def __init__(
        self, *, max_age_s: float = 1.0, confirm_hits: int = CONFIRM_HITS, max_shift: float = 0.3
    ) -> None:
        self._max_age_s = max_age_s
        self._confirm_hits = confirm_hits
        self._max_shift = max_shift
        self._followed: list[_FaceState] = []
        self._ids = 0
        self._updated_s = -math.inf
        self._gaps_s: deque[float] = deque(maxlen=RECENT)

    def adopt(self, old: Tracker) -> None:
        """Take over the faces and ids of `old`."""
        self._followed, self._ids = old._followed, old._ids
        self._updated_s, self._gaps_s = old._updated_s, old._gaps_s

    def reset(self) -> None:
        """End all tracks, because the scene has changed; ids are not used again."""
        self._followed = []

    def update(self, detections: Sequence[Detection], now_s: float) -> list[Track]:
        """Return the tracks at `now_s`, which must not decrease, ordered by id."""
        gap_s = self._measure_gap_s(now_s)
        max_age_s = max(self._max_age_s, AGE_UPDATES * gap_s)
        known = [each for each in self._followed if now_s - each.last_seen_s <= max_age_s]
        motions = [each.motion.predicted(now_s - each.last_seen_s) for each in known]
        fits = [
            [_similarity(each.last.box, motion, found.box, self._max_shift) for found in detections]
            for each, motion in zip(known, motions, strict=True)
        ]
        pairs = self._assign(fits)
        for k, d in pairs.items():
            _correct(known[k], motions[k], detections[d], now_s)
        self._followed = [each for k, each in enumerate(known) if k in pairs or each.id]
        taken = set(pairs.values())
        self._followed += [
            _new_face(detection, now_s) for d, detection in enumerate(detections) if d not in taken
        ]
        self._confirm(min(self._confirm_hits, hits_for(gap_s)))
        return self._tracks(now_s)

    def known(self, now_s: float) -> list[Known]:
        """Return the predicted faces at `now_s`, including those not yet confirmed."""
        tracks = [_track(each, now_s) for each in self._followed]
        return [
            Known(
                track.box,
                tilt_of(track.eyes),
                track.id > 0 and track.last_seen_s >= self._updated_s,
            )
            for track in tracks
        ]

    @property
    def is_empty(self) -> bool:
        """Whether no face is followed, not even one that is not yet confirmed."""
        return not self._followed

    @property
    def has_lost(self) -> bool:
        """Whether the last update missed a face that is still followed."""
        return any(each.last_seen_s < self._updated_s for each in self._followed)

    def has_new(self, now_s: float) -> bool:
        """Return whether a face was first detected within the last NEW_UPDATES usual gaps."""
        recent_s = NEW_UPDATES * self._usual_gap_s
        return any(now_s - each.first_seen_s < recent_s for each in self._followed)

    def predict(self, now_s: float) -> list[Track]:
        """Return the tracks predicted for `now_s`, when no search was made."""
        return self._tracks(now_s)

    def _tracks(self, now_s: float) -> list[Track]:
        shown = sorted((each for each in self._followed if each.id), key=lambda each: each.id)
        return [_track(each, now_s) for each in shown]

    def _assign(self, fits: Sequence[Sequence[float]]) -> dict[int, int]:
        """Assign detections to faces, best pairs first; return face index → detection index."""
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

    def _measure_gap_s(self, now_s: float) -> float:
        """Return the usual time between two updates, 0 before the second."""
        if now_s > self._updated_s > -math.inf:
            self._gaps_s.append(min(now_s - self._updated_s, MAX_GAP_S))
        self._updated_s = now_s
        return self._usual_gap_s

    @property
    def _usual_gap_s(self) -> float:
        return statistics.median(self._gaps_s) if self._gaps_s else 0.0

    def _confirm(self, hits: int) -> None:
        for each in self._followed:
            if not each.id and each.hits >= hits:
                self._ids += 1
                each.id = self._ids


def _new_face(detection: Detection, now_s: float) -> _FaceState:
    motion = initial_motion(detection.box.center, detection.box.w)
    return _FaceState(detection, motion, now_s, now_s)


def _similarity(before: Box, motion: Motion, box: Box, max_shift: float) -> float:
    """Return how well `box` matches a face last detected as `before` and predicted by `motion`.

    The measure is the IoU minus the distance of the centers in face widths; −inf if `box` must be
    another face.
    """
    if min(before.w, box.w) * MAX_GROWTH <= max(before.w, box.w):
        return -math.inf
    width = (before.w + box.w) / 2
    shift = math.dist(motion.place, box.center)
    if shift > max_shift * width + SPREADS * motion.spread:
        return -math.inf
    return _moved(before, motion.place).iou(box) - shift / width


def _correct(followed: _FaceState, motion: Motion, detection: Detection, now_s: float) -> None:
    """Update `followed`, predicted by `motion`, with `detection`."""
    followed.motion = motion.corrected(detection.box.center, detection.box.w)
    followed.last = detection
    followed.last_seen_s = now_s
    followed.hits += 1


def _moved(box: Box, center: Point) -> Box:
    return Box(center.x - box.w / 2, center.y - box.h / 2, box.w, box.h)


def _track(followed: _FaceState, now_s: float) -> Track:
    """Return `followed` as last detected, moved by its velocity since then."""
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
