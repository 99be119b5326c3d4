"""The demo scene: repeatable, any size, and real detectors find its faces."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.capture.demo.portrait import Expression
from edge_daemon.capture.demo.scene import PERIOD_S, Demo
from edge_daemon.vision.detector import Detector, HaarDetector, build_detector

TIMES_S = [float(t) for t in np.arange(0.4, PERIOD_S, 1.0)]


@pytest.fixture(scope="module")
def demo() -> Demo:
    return Demo()


def share_with_faces(demo: Demo, detector: Detector, times_s: list[float]) -> float:
    return float(np.mean([bool(detector.detect(demo.render(t))) for t in times_s]))


def test_blazeface_finds_faces(demo: Demo, blazeface_dir: Path) -> None:
    detector = build_detector("blazeface", models_dir=blazeface_dir)
    found = [detector.detect(demo.render(t)) for t in TIMES_S]
    assert np.mean([bool(faces) for faces in found]) >= 0.95
    assert np.mean([len(faces) == 2 for faces in found]) >= 0.75  # one person leaves for a while
    assert all(100 < face.box.w < 240 for faces in found for face in faces)


def test_haar_finds_faces(demo: Demo) -> None:
    assert share_with_faces(demo, HaarDetector(), TIMES_S[::4]) >= 0.9


def test_same_time_same_picture(demo: Demo) -> None:
    bgr = demo.render(12.3)
    assert bgr.shape == (480, 640, 3)
    assert bgr.dtype == np.uint8
    assert np.array_equal(bgr, Demo().render(12.3))
    assert np.array_equal(bgr, demo.render(12.3 + PERIOD_S))


def test_moves_smoothly(demo: Demo) -> None:
    """No jump between frames, through every change of expression and the walk out and back."""
    step_s = 1 / 15
    for start_s in (5.95, 43.9, 45.8, 52.0, 54.2, PERIOD_S - 0.05):
        before, after = demo.render(start_s), demo.render(start_s + step_s)
        assert 0 < np.mean(cv2.absdiff(before, after)) < 12


@pytest.mark.parametrize(("width", "height"), [(320, 240), (1280, 720), (480, 640)])
def test_other_sizes(width: int, height: int) -> None:
    demo = Demo(width, height)
    for t_s in (0.0, *np.arange(43.5, 56, 0.3)):  # through the walk past the edge
        assert demo.render(float(t_s)).shape == (height, width, 3)


def test_expressions_blend() -> None:
    rest, smile = Expression(), Expression(mouth_curve=1.0, teeth=0.5)
    assert rest.blend(smile, 0.0) == rest
    assert rest.blend(smile, 1.0) == smile
    assert rest.blend(smile, 0.5) == Expression(mouth_curve=0.5, teeth=0.25)
