"""BlazeFace, the full-range sparse network: a picture in, faces with boxes and eyes out.

Steps and constants are those of MediaPipe's `modules/face_detection/face_detection_full_range`
graph, so the boxes equal MediaPipe's. The network: Bazarevsky et al., "BlazeFace: Sub-millisecond
Neural Face Detection on Mobile GPUs", 2019, https://arxiv.org/abs/1907.05047.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.interpreter import Interpreter, ModelError
from edge_daemon.types import Box, Detection, Eyes, ImageBgr, Point

FloatArray = NDArray[np.float32]

INPUT_PX = 192
GRID = 48  # one anchor in the middle of each cell
VALUES = 16  # an anchor's centre, size and six keypoints, as x, y pairs
SCORE_CLIP = 100.0
OVERLAP = 0.3  # IoU above which detections are the same face


class Letterbox(NamedTuple):
    """How a picture lies in the network's input: input = picture × `scale` + (`x`, `y`)."""

    scale: float
    x: float
    y: float


class BlazeFace:
    """Finds faces from about 50 px at 640×480; a `Detector`.

    `interpreter` holds `face_detection_full_range_sparse.tflite`; ModelError for another model.
    Faces below `min_score` (0 to 1) are dropped.
    """

    name = "blazeface"

    def __init__(self, interpreter: Interpreter, *, min_score: float = 0.5) -> None:
        shapes = [output.shape for output in interpreter.outputs]
        anchors = _anchors()
        try:
            self._values_at = shapes.index((1, len(anchors), VALUES))
            self._scores_at = shapes.index((1, len(anchors), 1))
        except ValueError:
            raise ModelError(
                f"not BlazeFace's full-range sparse model: its outputs are {shapes}"
            ) from None
        self._interpreter = interpreter
        self._anchors = anchors
        self._min_score = min_score

    def detect(self, bgr: ImageBgr) -> list[Detection]:
        """The faces in `bgr` (height, width, 3), best score first; boxes may leave the frame."""
        letterbox = _letterbox(*bgr.shape[:2])
        outputs = self._interpreter.run(_input(bgr, letterbox))
        scores = _sigmoid(outputs[self._scores_at][0, :, 0])
        found = np.flatnonzero(scores >= self._min_score)
        found = found[np.argsort(-scores[found], kind="stable")]
        points = _points(outputs[self._values_at][0, found], self._anchors[found])
        points = (points - (letterbox.x, letterbox.y)) / letterbox.scale
        return _merge(points.astype(np.float32), scores[found])

    def close(self) -> None:
        """Nothing to free."""


def _anchors() -> FloatArray:
    """Anchor centres (GRID², 2) as x, y in 0 to 1, row by row."""
    centres = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    x, y = np.meshgrid(centres, centres)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _letterbox(height: int, width: int) -> Letterbox:
    scale = INPUT_PX / max(height, width)
    return Letterbox(scale, (INPUT_PX - width * scale) / 2, (INPUT_PX - height * scale) / 2)


def _input(bgr: ImageBgr, letterbox: Letterbox) -> FloatArray:
    """RGB in −1 to 1, (1, INPUT_PX, INPUT_PX, 3), the border black.

    MediaPipe's warp puts no half-pixel shift between the two grids; the network knows no other.
    """
    scale, x, y = letterbox
    matrix = np.array([[scale, 0, x], [0, scale, y]])
    boxed = cv2.warpAffine(bgr, matrix, (INPUT_PX, INPUT_PX), flags=cv2.INTER_LINEAR)
    rgb = cv2.cvtColor(boxed, cv2.COLOR_BGR2RGB)
    return (rgb.astype(np.float32) / np.float32(127.5) - 1)[np.newaxis]


def _sigmoid(logits: FloatArray) -> FloatArray:
    clipped = np.clip(logits, -SCORE_CLIP, SCORE_CLIP).astype(np.float64)
    return (1 / (1 + np.exp(-clipped))).astype(np.float32)


def _points(values: FloatArray, anchors: FloatArray) -> FloatArray:
    """Raw `values` (n, VALUES) as input pixels (n, 8, 2): box corners, then six keypoints."""
    points = values.reshape(-1, VALUES // 2, 2).copy()
    size = points[:, 1].copy()
    points[:, 1] = points[:, 0]
    points += anchors[:, np.newaxis] * INPUT_PX
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
