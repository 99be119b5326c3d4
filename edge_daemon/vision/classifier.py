"""Classifies one face of a frame."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.frame import Picture, reduction
from edge_daemon.core.types import Box, Eyes, ImageBgr, ImageGray, Point, Scores
from edge_daemon.vision.goldens import deviation
from edge_daemon.vision.interpreter import Interpreter, ModelError
from edge_daemon.vision.model_file import Crop, ModelFile

MAX_OVERSAMPLING = 8
# Allowed difference from a golden answer, in probability. tflite-runtime 2.14 and LiteRT differ by
# up to 0.016 on the shipped architecture.
MAX_DIFFERENCE = 0.05


class Classifier:
    """Runs the expression network. Raises ModelError if its tensors do not fit its spec."""

    def __init__(self, model: ModelFile, *, runtime: str = "auto") -> None:
        self._interpreter = Interpreter(model.content, runtime=runtime)
        self.runtime = self._interpreter.runtime
        self.model = model
        self._check()

    def classify(self, bgr: ImageBgr, box: Box, eyes: Eyes | None) -> Scores:
        """Return the probabilities of `model.labels` for the face at `box` in the frame `bgr`."""
        return self.score(self.crop(bgr, box, eyes))

    def crop(self, bgr: ImageBgr, box: Box, eyes: Eyes | None) -> ImageGray:
        """Cut the face at `box` out of the frame `bgr`, as the network's input."""
        return crop_face(bgr, box, eyes, self.model.crop, self.model.size_px)

    def crop_of(self, picture: Picture, box: Box, eyes: Eyes | None) -> ImageGray:
        """Cut the face at `box`, in pixels of `picture`, out of a picture decoded coarsely."""
        bgr = picture.reduced(self.reduction(box))
        scale = bgr.shape[1] / picture.size[0], bgr.shape[0] / picture.size[1]
        if scale == (1, 1):
            return self.crop(bgr, box, eyes)
        box = Box(box.x * scale[0], box.y * scale[1], box.w * scale[0], box.h * scale[1])
        if eyes is not None:
            eyes = Eyes(*(Point(eye.x * scale[0], eye.y * scale[1]) for eye in eyes))
        return self.crop(bgr, box, eyes)

    def reduction(self, box: Box) -> int:
        """Return the greatest factor that leaves the crop of `box` as fine as the input."""
        return reduction(self.model.crop.side * max(box.w, box.h), self.model.size_px)

    def score(self, face: ImageGray) -> Scores:
        """Return the probabilities for a crop of the network's size, 0–255."""
        dtype = self._interpreter.input.dtype
        (scores,) = self._interpreter.run(face[None, :, :, None].astype(dtype))
        return np.asarray(scores[0] / max(float(scores[0].sum()), 1e-6), dtype=np.float32)

    def _check(self) -> None:
        size, classes = self.model.size_px, len(self.model.labels)
        found = [tuple(t.shape) for t in (self._interpreter.input, *self._interpreter.outputs)]
        expected = [(1, size, size, 1), (1, classes)]
        if found != expected:
            raise ModelError(
                f"{self.model.path}: has tensors of shape {found}, "
                f"but its spec.json says {expected}; convert it again."
            )


def check_goldens(classifier: Classifier) -> str:
    """Check that this runtime reproduces the model's golden answers; return a clause for the log.

    Raises ModelError if it does not.
    """
    model = classifier.model
    if model.goldens is None:
        return "the model has no golden answers, so this runtime is unchecked; convert it again"
    found = deviation(model.goldens, classifier.score)
    if not found.largest <= MAX_DIFFERENCE:  # also true for NaN
        raise ModelError(
            f"{model.path}: on {classifier.runtime} its scores differ by up to "
            f"{found.largest:.3f} from its golden answers (at most {MAX_DIFFERENCE} is "
            f"allowed), the label on {found.faces - found.same_label} of {found.faces} faces; "
            "set `runtime:` to another one, or convert the model again."
        )
    return (
        f"this runtime reproduces the golden answers: the same label on {found.same_label} of "
        f"{found.faces} faces, scores within {found.largest:.3f}"
    )


def crop_face(bgr: ImageBgr, box: Box, eyes: Eyes | None, crop: Crop, size_px: int) -> ImageGray:
    """Cut a face out of `bgr` as (size_px, size_px), upright, its eyes where `crop` puts them.

    The eyes determine position and rotation. The box determines the size, because the distance of
    the eyes shrinks when a head turns aside and the box hardly does. Beyond the frame, its edge
    pixels are repeated. Large faces are oversampled and averaged down to avoid aliasing.
    """
    side = crop.side * max(box.w, box.h)
    anchor, target, angle = box.center, crop.box, 0.0
    if eyes is not None:
        (lx, ly), (rx, ry) = eyes
        anchor, target = type(anchor)((lx + rx) / 2, (ly + ry) / 2), crop.eyes
        angle = math.atan2(ry - ly, rx - lx)
    oversampling = min(max(round(side / size_px), 1), MAX_OVERSAMPLING)
    fine_px = size_px * oversampling
    step = side / fine_px
    cos, sin = math.cos(angle) * step, math.sin(angle) * step
    # Output pixel (u, v) is sampled at anchor + R·(u − target·fine); pixel centers are at +0.5.
    u, v = target.x * fine_px - 0.5, target.y * fine_px - 0.5
    inverse = np.array(
        [
            [cos, -sin, anchor.x - 0.5 - cos * u + sin * v],
            [sin, cos, anchor.y - 0.5 - sin * u - cos * v],
        ]
    )
    fine = cv2.warpAffine(
        _gray_part(bgr, inverse, fine_px),
        inverse,
        (fine_px, fine_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if oversampling > 1:
        fine = cv2.resize(fine, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(fine, dtype=np.uint8)


def _gray_part(bgr: ImageBgr, inverse: NDArray[np.float64], fine_px: int) -> ImageGray:
    """Return, in gray, the part of `bgr` that `inverse` maps a square of `fine_px` onto.

    Changes `inverse` in place, so that its origin is that of the part.
    """
    (cos, sin, x), (_, _, y) = inverse.tolist()
    half = fine_px / 2
    reach = (abs(cos) + abs(sin)) * half
    height, width = bgr.shape[:2]
    left, right = _clamped_range(x + (cos + sin) * half, reach, width)
    top, bottom = _clamped_range(y + (cos - sin) * half, reach, height)
    inverse[:, 2] -= left, top
    part = cv2.cvtColor(bgr[top:bottom, left:right], cv2.COLOR_BGR2GRAY)
    return np.asarray(part, dtype=np.uint8)


def _clamped_range(middle: float, reach: float, size: int) -> tuple[int, int]:
    """Return the pixel range `middle` ± `reach` with a margin, within 0 to `size`."""
    first = min(max(math.floor(middle - reach) - 1, 0), size - 1)
    return first, max(math.ceil(middle + reach) + 2, 1)
