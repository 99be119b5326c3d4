"""How much a picture of a face can be trusted: a face cut out for the network in, a weight out."""

from __future__ import annotations

import math

import cv2

from edge_daemon.core.types import ImageGray

# Sharpness at which half of what the network knows of sharp faces is left; fitted to PublicTest's
# faces scaled down and blurred (benchmarks/face_quality.md).
HALF_SHARPNESS = 0.008


def weight_of(face: ImageGray, side_px: float) -> float:
    """How much to trust the scores of `face` (n, n), 0 to 1, by its size and sharpness.

    `side_px` is the side it had in the frame: fewer pixels than the network takes count less.
    """
    sharp = sharpness(face)
    size = min(side_px / face.shape[0], 1.0)
    return math.sqrt(size) * sharp / (sharp + HALF_SHARPNESS)


def sharpness(face: ImageGray) -> float:
    """Energy of the second differences over the variance, the smaller of x and y.

    Free of the picture's contrast; the smaller one, because motion blurs in one direction.
    """
    across = cv2.Sobel(face, cv2.CV_32F, 2, 0, ksize=1)
    down = cv2.Sobel(face, cv2.CV_32F, 0, 2, ksize=1)
    energy = min(cv2.norm(each, cv2.NORM_L2SQR) for each in (across, down)) / face.size
    deviation = float(cv2.meanStdDev(face)[1].item())
    return energy / (deviation**2 + 1)
