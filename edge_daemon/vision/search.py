"""Finds faces of any size with both BlazeFace networks: in still pictures and in live video."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from edge_daemon.core.frame import COARSEST, Picture, reduction
from edge_daemon.core.types import Box, Detection, ImageBgr
from edge_daemon.vision.blazeface import (
    OVERLAP,
    BlazeFace,
    FullScale,
    Region,
    weighted_mean,
)
from edge_daemon.vision.plan import (
    NO_HINT,
    Hint,
    Reach,
    Scan,
    Size,
    around,
    fitted_shape,
    live_plan,
    still_plan,
    tilt_of,
    turned_plan,
)
from edge_daemon.vision.pyramid import Pyramid
from edge_daemon.vision.variant import Shape

# Short-range boxes in terms of full-range boxes: size, and downward shift of the center in sides,
# medians over the clips (benchmarks/detection.md).
SHORT_SIZE: Final = 0.97
SHORT_SHIFT: Final = 0.038
CUT: Final = 0.1  # share of a box's side that may lie beyond the border of a tile
NEAR_PX: Final = 96  # of short-range's input for a region around a known face
TILE_DETAIL: Final = 0.8  # pixels of a tile for each pixel of the network's input
NESTED: Final = 0.6  # if this share of the smaller box is inside the other, the weaker is dropped

# A new detection below SURE is scanned again at other scales. The mean of the scores must reach
# BAR, or LARGE_BAR for faces of more than LARGE of the picture, which have little background.
SURE: Final = 0.85
BAR: Final = 0.64
LARGE_BAR: Final = 0.6
LARGE: Final = 0.2
SCALES: Final = (2.0, 1.6, 2.5)  # sides of the scanned regions, in sides of the box
RESCAN_SCORE: Final = 0.02  # the lowest score that counts as found again,
RESCAN_MOST: Final = 4  # among this many of the best detections
ALIKE: Final = 0.35  # the IoU with the detection from which one is the same face
DOUBT: Final = 0.5  # factor of the score of a detection that was not found again
TURNED_BAR: Final = 0.75  # for faces found in another orientation than the search's
TILTED: Final = math.radians(30)  # eyes tilted by more are located again in a turned region
TURNS: Final = (0.0, math.pi / 2, math.pi, -math.pi / 2)

# Where many faces share a tile, the network gives each a lower score than it gives to one alone.
# In a still picture with SEVERAL faces, the best CANDIDATES from WEAK up are scanned again too.
SEVERAL: Final = 2
WEAK: Final = 0.2
CANDIDATES: Final = 200
STILL_FACES: Final = 100


class StillSearch(FullScale):
    """Searches single pictures thoroughly; a `Detector`.

    Finds at most `STILL_FACES` faces, of at least 24 px or 2 % of the longer side, turned by any
    angle. Detections below `min_score` are dropped.
    """

    name = "blazeface"

    def __init__(self, full: BlazeFace, short: BlazeFace, *, min_score: float = 0.5) -> None:
        self._scanner = _Scanner(full, short, min_score)
        self._min_score = min_score

    def detect(self, bgr: ImageBgr, hint: object = None) -> list[Detection]:
        """Find the faces of `bgr`, best score first; `hint` is ignored."""
        pyramid = Pyramid(Picture(bgr))
        size = pyramid.size
        found = self._scanner.scan(pyramid, still_plan(size))
        faces = [self._scanner.best_orientation(pyramid, each) for each in found]
        faces = [each for each in faces if each.score >= self._min_score]
        if len(faces) >= SEVERAL:
            faces += self._scanner.others(pyramid, still_plan(size), faces)
        if not faces:
            turned = [scan for angle in TURNS[1:] for scan in turned_plan(size, angle)]
            found = self._scanner.scan(pyramid, turned)
            faces = [self._scanner.recheck(pyramid, each, bar=TURNED_BAR) for each in found]
        return _without_overlaps(each for each in faces if each.score >= self._min_score)[
            :STILL_FACES
        ]

    def close(self) -> None:
        """Nothing to free."""


class LiveSearch:
    """Searches the frames of a video, each in a few scans that take turns; a `Detector`.

    `reach` decides which faces the turns search for besides medium ones: "near" for close faces,
    "far" for small ones, "auto" for both. Detections below `min_score` are dropped.
    """

    name = "blazeface"

    def __init__(
        self, full: BlazeFace, short: BlazeFace, *, min_score: float = 0.5, reach: Reach = "auto"
    ) -> None:
        self._scanner = _Scanner(full, short, min_score, short.smaller(NEAR_PX))
        self._size: tuple[int, int] | None = None  # of the pictures that full-range is fitted to
        self._min_score = min_score
        self._reach: Reach = reach
        self._planned: tuple[tuple[int, int], Hint, list[Scan]] | None = None

    def detect(self, bgr: ImageBgr, hint: Hint = NO_HINT) -> list[Detection]:
        """Find the faces of `bgr`, best score first."""
        return self.detect_in(Picture(bgr), hint)

    def detect_in(self, picture: Picture, hint: Hint) -> list[Detection]:
        """Find the faces of `picture`, best score first, decoding it no finer than necessary."""
        if picture.size != self._size:
            self._size = picture.size
            self._scanner.fit(fitted_shape(Size(*picture.size)))
        pyramid = Pyramid(picture, levels=hint.thorough, factor=self.reduction(picture.size, hint))
        found = self._scanner.scan(pyramid, self._plan(picture.size, hint))
        known = [each.box for each in hint.known]
        faces = [
            each if _match(each.box, known) else self._scanner.recheck(pyramid, each)
            for each in found
        ]
        return [each for each in faces if each.score >= self._min_score]

    def reduction(self, size: tuple[int, int], hint: Hint) -> int:
        """Return the greatest factor that leaves every region as fine as its scan needs."""
        if hint.thorough:
            return 1
        scans = self._plan(size, hint)
        return min((self._scanner.reduction(scan) for scan in scans), default=COARSEST)

    def _plan(self, size: tuple[int, int], hint: Hint) -> list[Scan]:
        """Return the plan of a search; it is made once for each frame."""
        if self._planned is None or self._planned[0] != size or self._planned[1] is not hint:
            self._planned = size, hint, live_plan(Size(*size), hint, self._reach)
        return self._planned[2]

    def close(self) -> None:
        """Nothing to free."""


class _Scanner:
    """Runs scans and checks doubtful detections; `near` scans the regions around known faces."""

    def __init__(
        self, full: BlazeFace, short: BlazeFace, min_score: float, near: BlazeFace | None = None
    ) -> None:
        self._networks = {"full": full, "short": short}
        self._near = near or short
        self._min_score = min_score

    def fit(self, shape: Shape) -> None:
        """Let full-range see only this part of each region."""
        self._networks["full"] = self._networks["full"].fitted(shape)

    def reduction(self, scan: Scan) -> int:
        """Return the greatest factor that leaves the region as fine as the scan needs."""
        return reduction(scan.region.side, _detail(scan) * self._network(scan).input_px)

    def _network(self, scan: Scan) -> BlazeFace:
        return self._near if scan.is_known else self._networks[scan.network]

    def scan(self, pyramid: Pyramid, scans: Sequence[Scan]) -> list[Detection]:
        """Run `scans` and merge what they find, best score first."""
        known = self._run(pyramid, (scan for scan in scans if scan.is_known))
        boxes = [each.box for each in known]
        others = self._run(pyramid, (scan for scan in scans if not scan.is_known))
        new = [each for each in others if not _overlaps(each.box, boxes)]
        return sorted(known + new, key=lambda each: each.score, reverse=True)

    def others(
        self, pyramid: Pyramid, scans: Iterable[Scan], faces: Iterable[Detection]
    ) -> list[Detection]:
        """Scan what else may be a face again, and return what certainly is one."""
        boxes = [each.box for each in faces]
        weak = self._run(pyramid, scans, WEAK)
        new = [each for each in weak if not _overlaps(each.box, boxes)][:CANDIDATES]
        means = [self._rescan(pyramid, each, 0.0)[0] for each in new]
        return [
            replace(each, score=mean)
            for each, mean in zip(new, means, strict=True)
            if mean >= TURNED_BAR
        ]

    def _run(
        self, pyramid: Pyramid, scans: Iterable[Scan], min_score: float | None = None
    ) -> list[Detection]:
        found: list[Detection] = []
        for scan in scans:
            network, angle = self._network(scan), scan.region.angle
            detail = _detail(scan)
            for each in pyramid.search(network, scan.region, detail=detail, min_score=min_score):
                face = _full_range(each, angle) if scan.network == "short" else each
                if not scan.is_tile or _within(face.box, scan.region, network.shape, pyramid.size):
                    found.append(face)
        return _merged_scans(found)

    def recheck(
        self, pyramid: Pyramid, detection: Detection, *, bar: float | None = None
    ) -> Detection:
        """Scan a doubtful detection again, eyes level; lower its score below `bar`."""
        if detection.score >= SURE:
            return detection
        needed = len(SCALES) * (_bar(detection, pyramid.size) if bar is None else bar)
        total, most = 0.0, float(len(SCALES))  # the sum so far, and the highest it can become
        for score, _ in self._rescans(pyramid, detection, 0.0):
            total, most = total + score, most - 1 + score
            if total >= needed or most < needed:
                break
        return detection if total >= needed else _lowered(detection)

    def best_orientation(self, pyramid: Pyramid, detection: Detection) -> Detection:
        """Scan a doubtful or tilted detection again at four orientations; keep the best."""
        is_tilted = abs(tilt_of(detection.eyes)) > TILTED
        if detection.score >= SURE and not is_tilted:
            return detection
        mean, level = self._rescan(pyramid, detection, 0.0)
        upright = level if is_tilted and level is not None else detection
        if mean >= TURNED_BAR or detection.score >= SURE:
            return replace(upright, score=max(upright.score, mean))
        turned = [self._rescan(pyramid, detection, angle) for angle in TURNS[1:]]
        best, face = max(turned, key=lambda each: each[0])
        if face is not None and best >= TURNED_BAR:
            return face
        if mean >= _bar(detection, pyramid.size):
            return replace(upright, score=max(upright.score, mean))
        return _lowered(detection)

    def _rescan(
        self, pyramid: Pyramid, detection: Detection, angle: float
    ) -> tuple[float, Detection | None]:
        """Return the mean score over SCALES, and what the first of them found."""
        scans = list(self._rescans(pyramid, detection, angle))
        first = next((best for _, best in scans if best), None)
        return sum(score for score, _ in scans) / len(scans), first

    def _rescans(
        self, pyramid: Pyramid, detection: Detection, angle: float
    ) -> Iterator[tuple[float, Detection | None]]:
        """Scan at each of SCALES; yield the score with which the face was found again, and it."""
        angle += tilt_of(detection.eyes)
        for factor in SCALES:
            region = around(detection.box, angle, factor)
            found = pyramid.search(
                self._networks["short"], region, min_score=RESCAN_SCORE, most=RESCAN_MOST
            )
            same = (_full_range(each, angle) for each in found)
            best = next((each for each in same if each.box.iou(detection.box) > ALIKE), None)
            yield best.score if best else 0.0, best


def _detail(scan: Scan) -> float:
    """Return the pixels of the picture that a scan needs for each of its network's input."""
    return TILE_DETAIL if scan.is_tile else 1.0


def _full_range(detection: Detection, angle: float = 0.0) -> Detection:
    """Return a short-range detection with the box that full-range would give."""
    (x, y), (w, h) = detection.box.center, detection.box[2:]
    w, h = w / SHORT_SIZE, h / SHORT_SIZE
    x, y = x + SHORT_SHIFT * w * math.sin(angle), y - SHORT_SHIFT * h * math.cos(angle)
    return replace(detection, box=Box(x - w / 2, y - h / 2, w, h))


def _merged_scans(detections: Sequence[Detection]) -> list[Detection]:
    """Merge detections of several scans; drop the weaker of nested boxes."""
    rest = sorted(detections, key=lambda each: each.score, reverse=True)
    faces = []
    while rest:
        best, same, others = rest[0], rest[:1], []
        for each in rest[1:]:
            if best.box.iou(each.box) > OVERLAP:
                same.append(each)
            elif _nested(best.box, each.box) < NESTED:
                others.append(each)
        faces.append(weighted_mean(same))
        rest = others
    return faces


def _without_overlaps(detections: Iterable[Detection]) -> list[Detection]:
    """Return the detections, best score first, without those that overlap a better one."""
    kept: list[Detection] = []
    for each in sorted(detections, key=lambda each: each.score, reverse=True):
        if not _match(each.box, [other.box for other in kept]):
            kept.append(each)
    return kept


def _nested(one: Box, other: Box) -> float:
    """Return the share of the smaller box that lies inside the larger one."""
    shared = one.shared_area(other)
    return shared / min(one.area, other.area) if shared > 0 else 0.0


def _within(box: Box, tile: Region, shape: Shape, size: Size) -> bool:
    """Return whether `box` is within the tile; borders that are the picture's do not count."""
    margin, width, height = (
        CUT * max(box.w, box.h),
        shape.width * tile.side,
        shape.height * tile.side,
    )
    left, top = tile.center.x - width / 2, tile.center.y - height / 2
    right, bottom = left + width, top + height
    return (
        (left <= 0 or box.x >= left - margin)
        and (top <= 0 or box.y >= top - margin)
        and (right >= size.width or box.x + box.w <= right + margin)
        and (bottom >= size.height or box.y + box.h <= bottom + margin)
    )


def _match(box: Box, others: Iterable[Box]) -> bool:
    return any(box.iou(other) > OVERLAP for other in others)


def _overlaps(box: Box, others: Iterable[Box]) -> bool:
    return any(box.iou(other) > OVERLAP or _nested(box, other) >= NESTED for other in others)


def _bar(detection: Detection, size: Size) -> float:
    side = max(detection.box.w, detection.box.h)
    return LARGE_BAR if side > LARGE * size.longer else BAR


def _lowered(detection: Detection) -> Detection:
    return replace(detection, score=DOUBT * detection.score)
