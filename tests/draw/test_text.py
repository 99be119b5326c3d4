"""Tests text in all scripts of the bundled font, next to OpenCV's ASCII."""

from __future__ import annotations

from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Box, Drawing, Face, Frame, Point, View
from edge_daemon.draw.annotate import annotate
from edge_daemon.draw.text import FONT_FILE, put_text, text_size

SIZE = 0.8
START = Point(10, 60)
LABELS = ("wütend", "Überraschung", "злой", "θυμός", "高兴", "高興", "うれしい", "기쁨", "zły")


def written(text: str, size: float = SIZE, at: Point = START) -> np.ndarray:
    bgr = np.zeros((90, 400, 3), np.uint8)
    put_text(bgr, text, at, size, (255, 255, 255))
    return bgr


@pytest.mark.parametrize("text", LABELS)
def test_every_letter_is_drawn_as_itself(text: str) -> None:
    unknown = written("\ue000")
    shapes = [written(letter) for letter in dict.fromkeys(text)]
    for number, shape in enumerate(shapes):
        assert shape.any()
        assert not np.array_equal(shape, unknown)
        assert not any(np.array_equal(shape, other) for other in shapes[:number])


@pytest.mark.parametrize("text", LABELS)
@pytest.mark.parametrize("size", [0.3, 0.5, 1.0, 2.0])
def test_the_size_is_that_of_the_ink(text: str, size: float) -> None:
    bgr = np.zeros((300, 1200, 3), np.uint8)
    put_text(bgr, text, Point(20, 150), size, (255, 255, 255))
    rows, columns = np.nonzero(bgr[:, :, 0] > 60)
    width, height = text_size(text, size)
    assert columns.min() >= 18
    assert columns.max() < 20 + width + 2
    assert width < (columns.max() - 20) * 1.2 + 8
    assert 150 - rows.min() < 1.5 * height + 3  # of an umlaut's dots and of CJK
    assert height == text_size("A", size)[1]


def test_capitals_are_as_high_as_opencvs() -> None:
    plain, other = written("HEX"), written("НЕХ")  # the latter is Cyrillic
    heights = [np.ptp(np.nonzero(bgr[:, :, 0] > 100)[0]) for bgr in (plain, other)]
    assert abs(heights[0] - heights[1]) <= 2


@pytest.mark.parametrize("x", [-30, 380, 500])
@pytest.mark.parametrize("y", [-50, 5, 88, 200])
def test_text_may_reach_beyond_the_picture(x: int, y: int) -> None:
    assert written("高兴 äöü", at=Point(x, y)).shape == (90, 400, 3)


def test_labels_of_any_script_are_drawn_with_their_face() -> None:
    labels = ("glücklich", "高兴", "грустный")
    scores = (0.2, 0.7, 0.1)
    face = Face(1, Box(200, 100, 120, 120), "高兴", 0.7, scores, since_s=0.0)
    frame = Frame(1, Picture(np.full((480, 640, 3), 90, np.uint8)), 0.0, datetime.now(UTC))
    view = View(frame, (face,), drawing=Drawing(labels=labels))
    drawn = annotate(view)
    question_marks = annotate(
        View(frame, (Face(1, face.box, "??", 0.7, scores, 0.0),), drawing=Drawing(labels=labels))
    )
    assert np.abs(drawn.astype(int) - question_marks).max() > 100


def test_the_font_is_part_of_the_package_and_small() -> None:
    assert FONT_FILE.stat().st_size < 2_000_000
    assert (FONT_FILE.parent / "README.md").is_file()


def test_ascii_stays_in_opencvs_font() -> None:
    bgr = np.zeros((90, 400, 3), np.uint8)
    cv2.putText(bgr, "happy 0.87", (10, 60), cv2.FONT_HERSHEY_SIMPLEX, SIZE, (255,) * 3, 2, 16)
    assert np.array_equal(bgr, written("happy 0.87"))
