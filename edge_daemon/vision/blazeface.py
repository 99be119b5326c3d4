"""BlazeFace, full-range sparse or short-range: a picture in, faces with boxes and eyes out.

Steps and constants are those of the graphs in MediaPipe's `modules/face_detection`, so the boxes
equal MediaPipe's. The networks: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face
Detection on Mobile GPUs", 2019, https://arxiv.org/abs/1907.05047.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress
from operator import mul
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.types import Box, Detection, Eyes, ImageBgr, Point
from edge_daemon.vision.interpreter import Interpreter, ModelError

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


class _Candidate(NamedTuple):
    """A face as one anchor saw it, in pixels of the picture."""

    score: float
    box: Box
    eyes: tuple[Point, Point]


class BlazeFace:
    """Finds faces; a `Detector`.

    `interpreter` holds `face_detection_full_range_sparse.tflite` (faces from about 50 px at
    640×480) or `face_detection_short_range.tflite` (from about 90 px, at a third of the cost);
    ModelError for another model. Faces below `min_score` (0 to 1) are dropped.
    """

    name = "blazeface"

    def __init__(self, interpreter: Interpreter, *, min_score: float = 0.5) -> None:
        self._input_px = interpreter.input.shape[1]
        self._anchors = _anchors(GRIDS.get(self._input_px, ())) * self._input_px
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
        rows = zip(
            logits[found].tolist(),
            outputs[self._values_at][0, found].tolist(),
            self._anchors[found].tolist(),
            strict=True,
        )
        candidates = [
            _candidate(logit, values, Point(*anchor), letterbox) for logit, values, anchor in rows
        ]
        return _merge(sorted(candidates, key=_score, reverse=True))

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
    values = np.asarray(cv2.cvtColor(boxed, cv2.COLOR_BGR2RGB), np.float32)
    values /= 127.5
    values -= 1
    return values[np.newaxis]


def _logit(score: float) -> float:
    """The raw output whose sigmoid is `score`, 0 to 1."""
    if score in {0, 1}:
        return math.copysign(math.inf, score - 0.5)
    return math.log(score / (1 - score))


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -80.0), 80.0)))


def _candidate(
    logit: float, values: Sequence[float], anchor: Point, letterbox: Letterbox
) -> _Candidate:
    """What an anchor saw, from the network's VALUES, which are relative to `anchor`."""

    def in_picture(dx: float, dy: float) -> Point:
        x, y = anchor.x + dx - letterbox.x, anchor.y + dy - letterbox.y
        return Point(x / letterbox.scale, y / letterbox.scale)

    x, y, w, h, *eyes = values[:8]
    corner = in_picture(x - w / 2, y - h / 2)
    box = Box(*corner, w / letterbox.scale, h / letterbox.scale)
    return _Candidate(_sigmoid(logit), box, (in_picture(*eyes[:2]), in_picture(*eyes[2:])))


def _score(candidate: _Candidate) -> float:
    return candidate.score


def _merge(candidates: Sequence[_Candidate]) -> list[Detection]:
    """Weighted non-maximum suppression over candidates, the best score first.

    The best takes all that overlap it and becomes their score-weighted mean; it keeps its own
    score.
    """
    faces = []
    while candidates:
        best, *others = candidates
        overlap = [best.box.iou(other.box) > OVERLAP for other in others]
        faces.append(_mean([best, *compress(others, overlap)]))
        candidates = [other for other, same in zip(others, overlap, strict=True) if not same]
    return faces


def _mean(candidates: Sequence[_Candidate]) -> Detection:
    """The mean of candidates, each weighing its score; the score is the first one's."""
    scores = [each.score for each in candidates]
    total = sum(scores)
    columns = zip(*((*each.box, *each.eyes[0], *each.eyes[1]) for each in candidates), strict=True)
    x, y, w, h, *eyes = (sum(map(mul, column, scores)) / total for column in columns)
    return Detection(
        Box(x, y, w, h), scores[0], Eyes(*sorted((Point(*eyes[:2]), Point(*eyes[2:]))))
    )
