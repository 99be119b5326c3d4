"""Runs BlazeFace, full-range sparse or short-range, on a square region of a picture.

The steps and constants are those of the graphs in MediaPipe's `modules/face_detection`, so that the
boxes equal MediaPipe's. Source of the networks: Bazarevsky et al., "BlazeFace: Sub-millisecond
Neural Face Detection on Mobile GPUs", 2019, https://arxiv.org/abs/1907.05047.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import mul
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Box, Detection, Eyes, ImageBgr, Point
from edge_daemon.vision.interpreter import Interpreter, ModelError, Variant
from edge_daemon.vision.variant import (
    GRIDS,
    VALUES,
    Shape,
    fitted_to,
    smaller_to,
)

FloatArray = NDArray[np.float32]

USED = 8  # of these: center, size and the two eyes
ANCHORS_OF_FACE = 10  # anchors that usually find the same face
OVERLAP = 0.3  # IoU above which detections are the same face


class Region(NamedTuple):
    """A square of `side` pixels around `center`; it may reach beyond the picture.

    The network sees the region turned by −`angle` (radians), so that a face whose eyes are tilted
    by `angle` appears upright.
    """

    center: Point
    side: float
    angle: float = 0.0


def whole(bgr: ImageBgr, *, padding: float = 1.0, angle: float = 0.0) -> Region:
    """Return the smallest region around the picture, `padding` times as large."""
    height, width = bgr.shape[:2]
    return Region(Point(width / 2, height / 2), padding * max(width, height), angle)


class FullScale:
    """Base of detectors that search every picture at full size and use no hint."""

    def detect(self, bgr: ImageBgr, hint: object = None) -> list[Detection]:
        """Find faces in the whole picture `bgr` (height, width, 3); `hint` is ignored."""
        raise NotImplementedError

    def detect_in(self, picture: Picture, hint: object) -> list[Detection]:
        """Find faces in the whole picture; `hint` is ignored."""
        return self.detect(picture.bgr)

    def reduction(self, size: tuple[int, int], hint: object) -> int:
        """Return 1."""
        return 1


class BlazeFace(FullScale):
    """Finds faces with one network; a `Detector`.

    `interpreter` holds `face_detection_full_range_sparse.tflite` (faces from about 7 % of the
    region's side) or `face_detection_short_range.tflite` (from about 20 %, at a third of the
    cost); `face_range` is "full" or "short". Detections below `min_score` (0 to 1) are dropped.
    Raises ModelError for another model.
    """

    name = "blazeface"

    def __init__(self, interpreter: Interpreter, *, min_score: float = 0.5) -> None:
        _, rows, columns, _ = interpreter.input.shape
        self._input_size = columns, rows
        self._input_px = max(columns, rows)
        shapes = [output.shape for output in interpreter.outputs]
        for face_range, grids in GRIDS.items():
            anchors = _anchors(grids, columns, rows)
            found = (1, len(anchors), VALUES), (1, len(anchors), 1)
            if set(found) <= set(shapes):
                self.face_range = face_range
                break
        else:
            raise ModelError(
                f"{interpreter.name} is not a BlazeFace model: its outputs are {shapes}"
            )
        self._values_at, self._scores_at = (shapes.index(each) for each in found)
        # The network gives the center and the eyes relative to the anchor, but not the size.
        self._anchors = np.hstack([anchors, np.zeros_like(anchors), anchors, anchors])
        self._interpreter = interpreter
        self._min_score = min_score

    @property
    def input_px(self) -> int:
        """The longer side of the network's input in pixels."""
        return self._input_px

    @property
    def shape(self) -> Shape:
        """The part of a region that the network sees, around the region's center."""
        return Shape(*(side / self._input_px for side in self._input_size))

    def fitted(self, shape: Shape) -> Self:
        """Return full-range for another `shape`; itself if it has that shape.

        The network consists of convolutions, so a smaller input costs less and finds the same faces
        within it (docs/adr/0029-full-range-sees-only-the-picture.md). Raises ModelError.
        """
        return self if shape == self.shape else self._changed(fitted_to(shape))

    def smaller(self, input_px: int) -> Self:
        """Return short-range for an input of `input_px`, a multiple of 16.

        It sees each region more coarsely and costs less. Raises ModelError.
        """
        return self._changed(smaller_to(input_px))

    def _changed(self, variant: Variant) -> Self:
        old = self._interpreter
        interpreter = Interpreter(
            old.content, name=old.name, runtime=old.wanted_runtime, variant=variant
        )
        return type(self)(interpreter, min_score=self._min_score)

    def detect(self, bgr: ImageBgr, hint: object = None) -> list[Detection]:
        """Find faces in the whole picture `bgr` (height, width, 3); `hint` is ignored."""
        return self.search(bgr, whole(bgr))

    def search(
        self,
        bgr: ImageBgr,
        region: Region,
        *,
        min_score: float | None = None,
        most: int | None = None,
        gain: float = 1.0,
    ) -> list[Detection]:
        """Find faces in `region` of `bgr`, best score first, at most `most`.

        `min_score` replaces the one of the constructor. `gain` brightens a dark picture. Boxes may
        reach beyond the picture.
        """
        limit = _logit(self._min_score if min_score is None else min_score)
        matrix = _to_input(region, self._input_size)
        outputs = self._interpreter.run(_input(bgr, matrix, self._input_size, gain))
        logits = outputs[self._scores_at][0, :, 0]
        found = np.flatnonzero(logits >= limit)
        if not len(found):
            return []
        values = outputs[self._values_at][0, found, :USED] + self._anchors[found]
        ranked = sorted(
            zip(logits[found].tolist(), values.tolist(), strict=True),
            key=lambda each: each[0],
            reverse=True,
        )
        if most is not None:
            ranked = ranked[: most * ANCHORS_OF_FACE]
        to_picture = cv2.invertAffineTransform(matrix).tolist()
        zoom = region.side / self._input_px
        return [
            _detection(score, row, to_picture, zoom)
            for score, row in islice(_merged([_candidate(*each) for each in ranked]), most)
        ]

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


class _Candidate(NamedTuple):
    """The detection of one anchor: its score, its USED values, and the corners of its box."""

    score: float
    values: Sequence[float]
    left: float
    top: float
    right: float
    bottom: float
    area: float


def _candidate(logit: float, values: Sequence[float]) -> _Candidate:
    x, y, w, h, *eyes = values
    if eyes[0] > eyes[2]:  # the eye on the left of the upright face comes first
        values = (x, y, w, h, *eyes[2:], *eyes[:2])
    half_w, half_h = max(w, 0.0) / 2, max(h, 0.0) / 2
    return _Candidate(
        _sigmoid(logit), values, x - half_w, y - half_h, x + half_w, y + half_h, 4 * half_w * half_h
    )


def _merged(ranked: Sequence[_Candidate]) -> Iterator[tuple[float, Sequence[float]]]:
    """Merge overlapping candidates, best score first; yield the score and the values of each face.

    This is MediaPipe's weighted suppression: the best candidate is averaged with all that overlap
    it, weighted by their scores, and keeps its own score.
    """
    while ranked:
        (score, values, left, top, right, bottom, area), *others = ranked
        total, sums, ranked = score, [score * value for value in values], []
        for each in others:
            w = min(right, each.right) - max(left, each.left)
            h = min(bottom, each.bottom) - max(top, each.top)
            shared = w * h if w > 0 and h > 0 else 0.0
            if shared > OVERLAP * (area + each.area - shared):
                total += each.score
                sums = [a + each.score * b for a, b in zip(sums, each.values, strict=True)]
            else:
                ranked.append(each)
        yield score, [value / total for value in sums]


def weighted_mean(detections: Sequence[Detection]) -> Detection:
    """Average boxes and eyes, weighted by score; the score is the first one's."""
    if len(detections) == 1:
        return detections[0]
    scores = [each.score for each in detections]
    total = sum(scores)
    rows = [(*each.box, *each.eyes[0], *each.eyes[1]) for each in detections if each.eyes]
    x, y, w, h, *eyes = (
        sum(map(mul, column, scores)) / total for column in zip(*rows, strict=True)
    )
    return Detection(Box(x, y, w, h), scores[0], Eyes(Point(*eyes[:2]), Point(*eyes[2:])))


def _anchors(grids: Sequence[tuple[int, int]], columns: int, rows: int) -> FloatArray:
    """Return anchor centers (n, 2) as x, y in pixels of the input, grid by grid and row by row."""
    centers = [
        ((column + 0.5) * cell_px, (row + 0.5) * cell_px)
        for cell_px, per_cell in grids
        for row in range(rows // cell_px)
        for column in range(columns // cell_px)
        for _ in range(per_cell)
    ]
    return np.array(centers, np.float32).reshape(-1, 2)


def _to_input(region: Region, input_size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the affine matrix from the picture to the network's input.

    Like MediaPipe's, it has no half-pixel shift between the two grids.
    """
    scale, (middle_x, middle_y) = max(input_size) / region.side, (side / 2 for side in input_size)
    cos, sin = scale * math.cos(region.angle), scale * math.sin(region.angle)
    x, y = region.center
    return np.array(
        [[cos, sin, middle_x - cos * x - sin * y], [-sin, cos, middle_y + sin * x - cos * y]]
    )


def _input(
    bgr: ImageBgr, matrix: NDArray[np.float64], input_size: tuple[int, int], gain: float
) -> FloatArray:
    """Return RGB in −1 to 1, (1, rows, columns, 3), black beyond the picture."""
    part = cv2.warpAffine(bgr, matrix, input_size, flags=cv2.INTER_LINEAR)
    if gain != 1:
        part = cv2.convertScaleAbs(part, alpha=gain)
    values = np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2RGB), np.float32)
    values /= 127.5
    values -= 1
    return values[np.newaxis]


def _logit(score: float) -> float:
    """Return the network's output whose sigmoid is `score`, 0 to 1."""
    if score in {0, 1}:
        return math.copysign(math.inf, score - 0.5)
    return math.log(score / (1 - score))


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -80.0), 80.0)))


def _detection(
    score: float, values: Sequence[float], matrix: Sequence[Sequence[float]], zoom: float
) -> Detection:
    """Map a center, size and two eyes from the network's input to the picture.

    The box stays upright in the picture, whatever the region's angle: faces are about square.
    """
    (a, b, c), (d, e, f) = matrix

    def in_picture(x: float, y: float) -> Point:
        return Point(a * x + b * y + c, d * x + e * y + f)

    x, y, w, h, *eyes = values
    center = in_picture(x, y)
    w, h = w * zoom, h * zoom
    box = Box(center.x - w / 2, center.y - h / 2, w, h)
    return Detection(box, score, Eyes(in_picture(*eyes[:2]), in_picture(*eyes[2:])))
