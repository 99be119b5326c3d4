"""Tests `annotate`: what it draws on a picture, and which pixels it leaves unchanged."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.labels import LABELS

import edge_daemon
from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Box, Drawing, Face, Frame, ImageBgr, View
from edge_daemon.draw.annotate import COLORS, UNSURE, annotate, color_of

BACKGROUND = 90

Mask = NDArray[np.bool_]


def plain(width: int = 640, height: int = 480) -> ImageBgr:
    return np.full((height, width, 3), BACKGROUND, np.uint8)


def face(box: Box, label: str = "happy", score: float = 0.83, number: int = 1) -> Face:
    rest = (1 - score) / 6
    scores = tuple(score if name == label else rest for name in LABELS)
    return Face(number, box, label, score, scores, since_s=0.0)


def view(bgr: ImageBgr, *faces: Face, notice: str = "") -> View:
    frame = Frame(
        1, Picture(bgr), captured_s=0.0, captured_at=datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
    )
    return View(frame, faces, notice, drawing=Drawing(LABELS))


def changed(bgr: ImageBgr) -> Mask:
    """Return where a drawing on `plain()` shows, as booleans of (height, width)."""
    mask: Mask = np.any(bgr != BACKGROUND, axis=2)
    return mask


def inside(mask: Mask, box: Box, margin: int) -> Mask:
    x, y, w, h = (round(value) for value in box)
    return mask[y + margin : y + h - margin, x + margin : x + w - margin]


def count_of(bgr: ImageBgr, color: tuple[int, int, int]) -> int:
    return int(np.all(bgr == color, axis=2).sum())


def test_the_frame_itself_is_not_written() -> None:
    bgr = plain()
    drawn = annotate(view(bgr, face(Box(200, 150, 120, 140))))
    assert np.all(bgr == BACKGROUND)
    assert drawn.shape == bgr.shape
    assert changed(drawn).any()


def test_a_view_without_faces_is_the_frame() -> None:
    assert not changed(annotate(view(plain()))).any()


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (320, 240)])
def test_a_face_with_room_around_it_is_not_covered(size: tuple[int, int]) -> None:
    width, height = size
    box = Box(width * 0.3, height * 0.3, height * 0.25, height * 0.3)
    drawn = changed(annotate(view(plain(width, height), face(box))))
    assert not inside(drawn, box, margin=5).any()
    assert drawn.any()


def test_scores_of_neighbors_do_not_cover_their_faces() -> None:
    left, right = Box(200, 150, 90, 110), Box(300, 150, 90, 110)
    drawn = changed(annotate(view(plain(), face(left), face(right, number=2))))
    assert not inside(drawn, left, margin=5).any()
    assert not inside(drawn, right, margin=5).any()


def test_drawing_grows_with_the_picture() -> None:
    small = changed(annotate(view(plain(640, 480), face(Box(100, 100, 90, 90)))))
    large = changed(annotate(view(plain(1280, 960), face(Box(200, 200, 180, 180)))))
    assert large.sum() == pytest.approx(4 * small.sum(), rel=0.2)


@pytest.mark.parametrize("label", [*LABELS, "uncertain"])
def test_the_outline_has_the_color_of_the_expression(label: str) -> None:
    box = Box(200, 150, 120, 140)
    drawn = annotate(view(plain(), face(box, label)))
    assert tuple(drawn[220, 200]) == color_of(label)


def test_uncertain_is_gray_and_expressions_are_not() -> None:
    assert color_of("uncertain") == UNSURE
    assert len(set(UNSURE)) == 1
    assert UNSURE not in COLORS.values()


# How dichromats see linear RGB: G. Machado, M. Oliveira, L. Fernandes, A Physiologically-based
# Model for Simulation of Color Vision Deficiency, 2009, at severity 1.
EYES = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                   (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


@pytest.mark.parametrize("eyes", EYES)
def test_colors_can_be_told_apart(eyes: str) -> None:
    colors = np.array([[[*COLORS.values(), UNSURE]]], np.float32)[0] / 255
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear[..., ::-1] @ np.array(EYES[eyes]).T, 0, 1).astype(np.float32)
    (lab,) = cv2.cvtColor(seen, cv2.COLOR_LRGB2Lab)
    for one, other in combinations(lab, 2):
        assert np.linalg.norm(one - other) > 15


def test_a_model_with_contempt_has_a_color_for_it() -> None:
    """FER+'s eight labels each have one, and the same on the page, the charts and the report."""
    assert set(COLORS) == {*LABELS, "contempt"}
    order = (Path(edge_daemon.__file__).parent / "web/static/history/figures.js").read_text()
    (listed,) = re.findall(r"const ORDER = (\[.*\]);", order)
    assert set(json.loads(listed)) == set(COLORS)


def test_the_page_uses_the_same_colors() -> None:
    css = (Path(edge_daemon.__file__).parent / "web/static/style.css").read_text()
    rules = dict(re.findall(r'\[data-label="(\w+)"\] \{ --color: #(\w{6}); \}', css))
    as_bgr = {label: tuple(bytes.fromhex(rgb))[::-1] for label, rgb in rules.items()}
    assert as_bgr == COLORS


def test_a_face_not_yet_classified_gets_only_a_box() -> None:
    box = Box(200, 150, 120, 140)
    drawn = changed(annotate(view(plain(), face(box, label=""))))
    assert drawn.any()
    drawn[145:296, 195:326] = False
    assert not drawn.any()


def test_a_higher_score_draws_a_longer_bar() -> None:
    box = Box(200, 150, 120, 140)
    low, high = (annotate(view(plain(), face(box, "sad", score))) for score in (0.4, 0.9))
    assert count_of(high, COLORS["sad"]) > count_of(low, COLORS["sad"]) + 100


@pytest.mark.parametrize(
    "box",
    [
        Box(-60, 200, 120, 140),
        Box(600, 430, 120, 140),
        Box(250, -70, 120, 140),
        Box(-50, -50, 900, 700),
        Box(0.4, 0.4, 639.2, 479.2),
    ],
)
def test_boxes_that_reach_beyond_the_frame_are_drawn(box: Box) -> None:
    drawn = annotate(view(plain(), face(box)))
    assert drawn.shape == (480, 640, 3)
    assert count_of(drawn, COLORS["happy"]) > 500  # the label stays in the picture


def test_a_face_outside_the_frame_is_not_drawn() -> None:
    assert not changed(annotate(view(plain(), face(Box(700, 100, 90, 90))))).any()


def test_other_models_have_other_labels() -> None:
    calm = Face(1, Box(200, 150, 120, 140), "calm", 0.7, (0.7, 0.3), since_s=0.0)
    other = replace(view(plain(), calm), drawing=Drawing(("calm", "excited")))
    drawn = annotate(other)
    assert count_of(drawn, UNSURE) > 500


def test_a_notice_darkens_the_picture_and_hides_the_faces() -> None:
    shown = annotate(view(plain(), face(Box(200, 150, 120, 140)), notice="Camera lost"))
    assert np.median(shown) < BACKGROUND / 2
    assert shown.max() == 255
    assert count_of(shown, COLORS["happy"]) == 0


def test_a_long_notice_is_wrapped() -> None:
    long = (
        "Camera lost: /dev/video0 does not answer – trying again in 30 seconds, or when it is back"
    )
    one, many = (annotate(view(plain(), notice=text)) for text in ("Camera lost", long))
    bright: Mask = np.any(many > 200, axis=2)
    assert not bright[:, :20].any()
    assert not bright[:, -20:].any()
    rows = [int((picture > 200).any(axis=(1, 2)).sum()) for picture in (one, many)]
    assert rows[1] > 2 * rows[0]


@pytest.mark.parametrize(("width", "height"), [(640, 480), (320, 240), (160, 120)])
def test_an_address_in_a_notice_is_broken_to_fit(width: int, height: int) -> None:
    address = "http://192.168.100.200:8080/some/long/path/to/a/camera.mjpg?…"
    drawn = annotate(view(plain(width, height), notice=f"{address} is away"))
    bright: Mask = np.any(drawn > 150, axis=2)
    assert bright.any()
    assert not bright[:, :5].any()
    assert not bright[:, -5:].any()


def test_a_card_without_any_picture_says_so() -> None:
    frame = Frame(0, Picture(plain()), captured_s=0.0, captured_at=datetime(2025, 3, 4, tzinfo=UTC))
    never = annotate(View(frame, notice="Camera lost"))
    once = annotate(view(plain(), notice="Camera lost"))
    assert np.any(never != once)
    assert np.any(never != annotate(View(frame, notice="Camera")))
