"""Tests the weight of a face: small, blurred or shaken faces count less; contrast has no effect."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.core.types import ImageGray
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.detector import build_detector
from edge_daemon.vision.model_file import read_model_file
from edge_daemon.vision.quality import sharpness, weight_of


@pytest.fixture(scope="module")
def face(media_dir: Path, blazeface_dir: Path, shipped_model: Path) -> ImageGray:
    """Return a real face as the network gets it."""
    read, bgr = cv2.VideoCapture(str(media_dir / "signing-eat.mkv")).read()
    assert read
    (found,) = build_detector("blazeface", models_dir=blazeface_dir).detect(
        np.asarray(bgr, np.uint8)
    )
    classifier = Classifier(read_model_file(shipped_model))
    return classifier.crop(np.asarray(bgr, np.uint8), found.box, found.eyes)


def test_a_sharp_face_counts_nearly_whole(face: ImageGray) -> None:
    assert 0.8 < weight_of(face, 80) <= 1


def test_fewer_pixels_than_the_network_takes_count_less(face: ImageGray) -> None:
    weights = [weight_of(face, side_px) for side_px in (12, 24, 36, 48)]
    assert weights == sorted(weights)
    assert weights[0] == pytest.approx(weights[-1] / 2)
    assert weight_of(face, 200) == weights[-1]


def test_the_more_blurred_the_less_it_counts(face: ImageGray) -> None:
    blurred = [np.asarray(cv2.GaussianBlur(face, (0, 0), s), np.uint8) for s in (0.5, 1, 2, 4)]
    weights = [weight_of(each, 80) for each in (face, *blurred)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] < 0.3 * weights[0]


@pytest.mark.parametrize("kernel", [(9, 1), (1, 9)])
def test_motion_in_either_direction_counts_as_blur(
    kernel: tuple[int, int], face: ImageGray
) -> None:
    shaken = np.asarray(cv2.blur(face, kernel), np.uint8)
    assert weight_of(shaken, 80) < 0.75 * weight_of(face, 80)


def test_contrast_does_not_matter(face: ImageGray) -> None:
    pale = (face.astype(np.float32) * 0.5 + 64).astype(np.uint8)
    assert sharpness(pale) == pytest.approx(sharpness(face), rel=0.1)


def test_an_even_face_has_no_weight() -> None:
    assert weight_of(np.full((48, 48), 90, np.uint8), 80) == 0
