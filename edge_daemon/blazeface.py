"""BlazeFace, full-range sparse or short-range: a picture in, faces with boxes and eyes out.

Steps and constants are those of the graphs in MediaPipe's `modules/face_detection`, so the boxes
equal MediaPipe's. The networks: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face
Detection on Mobile GPUs", 2019, https://arxiv.org/abs/1907.05047.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.interpreter import Interpreter, ModelError
from edge_daemon.types import Box, Detection, Eyes, ImageBgr, Point

FloatArray = NDArray[np.float32]

# A network's anchors by the side of its input in pixels: grids of cells, and how many anchors
# stand in the middle of each cell.
GRIDS: Final[dict[int, tuple[tuple[int, int], ...]]] = {
    192: ((48, 1),),  # full-range sparse
    128: ((16, 2), (8, 6)),  # short-range
}
VALUES = 16  # an anchor's centre, size and six keypoints, as x, y pairs
OVERLAP = 0.3  # IoU above which detections are the same face


class Letterbox(NamedTuple):
    """How a picture lies in the network's input: input = picture × `scale` + (`x`, `y`)."""

    scale: float
    x: float
    y: float


class BlazeFace:
    """Finds faces; a `Detector`.

    `interpreter` holds `face_detection_full_range_sparse.tflite` (faces from about 50 px at
    640×480) or `face_detection_short_range.tflite` (from about 90 px, at a third of the cost);
    ModelError for another model. Faces below `min_score` (0 to 1) are dropped.
    """

    name = "blazeface"

    def __init__(self, interpreter: Interpreter, *, min_score: float = 0.5) -> None:
        self._input_px = interpreter.input.shape[1]
        self._anchors = _anchors(GRIDS.get(self._input_px, ()))
        count = len(self._anchors)
        shapes = [output.shape for output in interpreter.outputs]
        try:
            self._values_at = shapes.index((1, count, VALUES))
            self._scores_at = shapes.index((1, count, 1))
        except ValueError:
            raise ModelError(f"not a BlazeFace model: its outputs are {shapes}") from None
        self._interpreter = interpreter
        self._min_logit = _logit(min_score)

    def detect(self, bgr: ImageBgr) -> list[Detection]:
        """The faces in `bgr` (height, width, 3), best score first; boxes may leave the frame."""
        height, width = bgr.shape[:2]
        letterbox = _letterbox(height, width, self._input_px)
        outputs = self._interpreter.run(_input(bgr, letterbox, self._input_px))
        logits = outputs[self._scores_at][0, :, 0]
        found = np.flatnonzero(logits >= self._min_logit)
        found = found[np.argsort(-logits[found], kind="stable")]
        centres = self._anchors[found] * self._input_px
        points = _points(outputs[self._values_at][0, found], centres)
        points = (points - (letterbox.x, letterbox.y)) / letterbox.scale
        return _merge(points.astype(np.float32), _sigmoid(logits[found]))

    def close(self) -> None:
        """Nothing to free."""


def _anchors(grids: Sequence[tuple[int, int]]) -> FloatArray:
    """Anchor centres (n, 2) as x, y in 0 to 1, grid by grid and row by row."""
    centres = [
        ((column + 0.5) / side, (row + 0.5) / side)
        for side, per_cell in grids
        for row in range(side)
        for column in range(side)
        for _ in range(per_cell)
    ]
    return np.array(centres, np.float32).reshape(-1, 2)


def _letterbox(height: int, width: int, input_px: int) -> Letterbox:
    scale = input_px / max(height, width)
    return Letterbox(scale, (input_px - width * scale) / 2, (input_px - height * scale) / 2)


def _input(bgr: ImageBgr, letterbox: Letterbox, input_px: int) -> FloatArray:
    """RGB in −1 to 1, (1, input_px, input_px, 3), the border black.

    MediaPipe's warp puts no half-pixel shift between the two grids; the networks know no other.
    """
    scale, x, y = letterbox
    matrix = np.array([[scale, 0, x], [0, scale, y]])
    boxed = cv2.warpAffine(bgr, matrix, (input_px, input_px), flags=cv2.INTER_LINEAR)
    rgb = cv2.cvtColor(boxed, cv2.COLOR_BGR2RGB)
    return (rgb.astype(np.float32) / np.float32(127.5) - 1)[np.newaxis]


def _logit(score: float) -> float:
    """The raw output whose sigmoid is `score`, 0 to 1."""
    if score in {0, 1}:
        return math.copysign(math.inf, score - 0.5)
    return math.log(score / (1 - score))


def _sigmoid(logits: FloatArray) -> FloatArray:
    """The scores of `logits`."""
    return (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)


def _points(values: FloatArray, centres: FloatArray) -> FloatArray:
    """Raw `values` (n, VALUES) as input pixels (n, 8, 2): box corners, then six keypoints.

    `centres` (n, 2) are those of their anchors.
    """
    points = values.reshape(-1, VALUES // 2, 2).copy()
    size = points[:, 1].copy()
    points[:, 1] = points[:, 0]
    points += centres[:, np.newaxis]
    points[:, 0] -= size / 2
    points[:, 1] += size / 2
    return points


def _merge(points: FloatArray, scores: FloatArray) -> list[Detection]:
    """Weighted non-maximum suppression over `points` (n, 8, 2), sorted by `scores` (n,).

    The best detection takes all that overlap it and becomes their score-weighted mean; it keeps
    its own score.
    """
    faces = []
    while len(scores):
        same = _overlaps_with_first(points) > OVERLAP
        same[0] = True  # also where its box has no area
        merged = np.average(points[same], axis=0, weights=scores[same])
        faces.append(_detection(merged, float(scores[0])))
        points, scores = points[~same], scores[~same]
    return faces


def _overlaps_with_first(points: FloatArray) -> FloatArray:
    """IoU (n,) of each box of `points` (n, 8, 2) with the first one."""
    low, high = points[:, 0], points[:, 1]
    sides = np.minimum(high, high[0]) - np.maximum(low, low[0])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(high - low, axis=1)
    overlaps: FloatArray = shared / np.maximum(areas + areas[0] - shared, np.float32(1e-6))
    return overlaps


def _detection(points: FloatArray, score: float) -> Detection:
    (x0, y0), (x1, y1), *eyes = points[:4].tolist()
    left, right = sorted(Point(*eye) for eye in eyes)
    return Detection(Box(x0, y0, x1 - x0, y1 - y0), score, Eyes(left, right))
