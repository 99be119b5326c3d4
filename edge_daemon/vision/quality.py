"""Weighs a face crop by its size and sharpness."""

from __future__ import annotations

import math

import cv2

from edge_daemon.core.types import ImageGray

# The sharpness at which half of the accuracy above chance is left, fitted to faces of PublicTest,
# scaled down and blurred (benchmarks/face_quality.md).
HALF_SHARPNESS = 0.008


def weight_of(face: ImageGray, side_px: float) -> float:
    """Return the weight of the scores of `face` (n, n), 0 to 1.

    `side_px` is the side of the crop in the frame; below n pixels the weight falls.
    """
    sharp = sharpness(face)
    size = min(side_px / face.shape[0], 1.0)
    return math.sqrt(size) * sharp / (sharp + HALF_SHARPNESS)


def sharpness(face: ImageGray) -> float:
    """Return the energy of the second differences divided by the variance.

    It does not depend on the contrast. The smaller of the two directions counts, because motion
    blurs in one direction.
    """
    across = cv2.Sobel(face, cv2.CV_32F, 2, 0, ksize=1)
    down = cv2.Sobel(face, cv2.CV_32F, 0, 2, ksize=1)
    energy = min(cv2.norm(each, cv2.NORM_L2SQR) for each in (across, down)) / face.size
    deviation = float(cv2.meanStdDev(face)[1].item())
    return energy / (deviation**2 + 1)
