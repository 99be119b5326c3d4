"""Tests blurring: which areas, for how long, and that no face in them is recognizable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Box, Detection, Drawing, Frame, ImageBgr, View
from edge_daemon.draw.annotate import annotate, public_picture
from edge_daemon.draw.mosaic import BLOCKS, blur
from edge_daemon.pipeline.privacy import HOLD_S, BlurAreas
from edge_daemon.vision.tracker import Tracker

AT = datetime(2026, 1, 31, tzinfo=UTC)
FACE = Box(300, 200, 80, 100)


def noise(width: int = 640, height: int = 480) -> ImageBgr:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def moved(box: Box, dx: float) -> Box:
    return box._replace(x=box.x + dx)


def covered(box: Box, areas: Iterable[Box], size: tuple[int, int] = (640, 480)) -> bool:
    """Return whether `areas` together leave nothing of `box` uncovered within the picture."""
    width, height = size
    left = np.zeros((height, width), bool)
    left[
        round(max(box.y, 0)) : round(box.y + box.h), round(max(box.x, 0)) : round(box.x + box.w)
    ] = 1
    for x, y, w, h in areas:
        left[round(max(y, 0)) : round(max(y + h, 0)), round(max(x, 0)) : round(max(x + w, 0))] = 0
    return not left.any()


def test_a_face_is_covered_from_its_first_detection_on() -> None:
    memory, tracker = BlurAreas(), Tracker()
    found = [Detection(FACE, 0.9)]
    tracks = tracker.update(found, 0.0)
    assert not tracks  # the tracker waits for more before it calls it a face
    assert covered(FACE, memory.update(found, tracks, 0.0))


def test_a_moving_face_that_is_missed_stays_covered() -> None:
    memory, tracker = BlurAreas(), Tracker()
    for n in range(30):
        at_s = n / 15
        box = moved(FACE, 8 * n)  # one and a half face widths a second
        found = [] if 10 <= n < 18 else [Detection(box, 0.9)]
        assert covered(box, memory.update(found, tracker.update(found, at_s), at_s)), n


def test_where_a_face_was_stays_covered_for_a_while_and_then_no_longer() -> None:
    memory = BlurAreas()
    memory.update([Detection(FACE, 0.9)], [], 0.0)
    assert covered(FACE, memory.update([], [], HOLD_S))
    assert not memory.update([], [], HOLD_S + 0.1)


@pytest.mark.parametrize("box", [FACE, Box(-50, -50, 120, 120), Box(600, 440, 100, 100)])
def test_of_a_blurred_area_a_few_blocks_are_left(box: Box) -> None:
    bgr, before = noise(), noise()
    blur(bgr, [box])
    x, y = round(max(box.x, 0)), round(max(box.y, 0))
    part = bgr[y : round(box.y + box.h), x : round(box.x + box.w)]
    steps = np.any(np.diff(part.astype(int), axis=1) != 0, axis=2)
    assert steps.any(axis=0).sum() <= BLOCKS
    same = np.all(bgr == before, axis=2)
    same[y : round(box.y + box.h) + 1, x : round(box.x + box.w) + 1] = True
    assert same.all()


def test_a_small_face_beside_a_large_one_is_no_finer() -> None:
    small = Box(20, 20, 40, 40)
    bgr = noise()
    blur(bgr, [small, Box(200, 100, 320, 320)])
    colors = np.unique(bgr[20:60, 20:60].reshape(-1, 3), axis=0)
    assert len(colors) <= 9


def test_areas_outside_the_picture_and_none_at_all_change_nothing() -> None:
    bgr = noise()
    blur(bgr, [])
    blur(bgr, [Box(900, 900, 50, 50)])
    assert np.array_equal(bgr, noise())


def view(**changes: object) -> View:
    frame = Frame(1, Picture(Demo().render(1.0)), 0.0, AT)
    return replace(View(frame, blur_areas=(FACE,), drawing=Drawing(blur=True)), **changes)  # type: ignore[arg-type]


def test_a_view_is_blurred_where_its_areas_lies() -> None:
    blurred, plain = annotate(view()), annotate(view(drawing=Drawing()))
    differs = np.any(blurred != plain, axis=2)
    x, y, w, h = (round(value) for value in FACE)
    assert differs[y : y + h, x : x + w].any()
    differs[y : y + h + 1, x : x + w + 1] = False
    assert not differs.any()


def test_of_the_last_picture_before_a_loss_nothing_is_shown() -> None:
    lost = {"notice": "the camera is lost", "blur_areas": ()}
    noisy = Frame(1, Picture(noise()), 0.0, AT)
    card, dark = annotate(view(**lost, frame=noisy)), annotate(view(**lost))
    assert np.median(card) == np.median(dark) == 0
    assert dark.max() == 255
    assert np.median(annotate(view(**lost, frame=noisy, drawing=Drawing()))) > 0


def test_a_private_picture_shows_nothing_of_the_camera() -> None:
    hidden = Drawing(show=False)
    dark, light = (
        public_picture(view(drawing=hidden, frame=Frame(1, Picture(bgr), 0.0, AT)))
        for bgr in (np.zeros((480, 640, 3), np.uint8), noise())
    )
    assert np.array_equal(dark, light)
    assert dark.max() == 255  # it says why
