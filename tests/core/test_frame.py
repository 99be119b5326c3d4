"""Tests lazy decoding of pictures: at the size that is needed, once, and with privacy settings."""

from __future__ import annotations

from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mjpeg_server import demo_jpegs
from support.pictures import decoded

from edge_daemon.core.frame import JpegPicture, Picture, black_picture, read_picture, reduction
from edge_daemon.core.picture import PictureRefused
from edge_daemon.core.types import Box, Drawing, Frame, ImageBgr, View
from edge_daemon.draw.annotate import annotate, public_picture, untouched_jpeg
from edge_daemon.draw.masks import Masks

(JPEG,) = demo_jpegs(320, 240, 1)
WHITE = cv2.imencode(".jpg", np.full((96, 130, 3), 255, np.uint8))[1].tobytes()
CORNERS, SIDES = st.floats(0, 0.98), st.floats(0.02, 1)
RECTANGLES = st.lists(st.tuples(CORNERS, CORNERS, SIDES, SIDES), min_size=1, max_size=3)


def lazy(jpeg: bytes = JPEG) -> Picture:
    return read_picture(jpeg, reduced_pixels=1_000_000)


def view(picture: Picture, drawing: Drawing, notice: str = "") -> View:
    frame = Frame(1, picture, 0.0, datetime(2026, 1, 1, tzinfo=UTC))
    return View(frame, notice=notice, blur_areas=(Box(0, 0, 50, 50),), drawing=drawing)


def test_a_jpeg_is_decoded_as_finely_as_asked_for_and_once() -> None:
    picture = lazy()
    assert picture.size == (320, 240)
    quarter = picture.reduced(4)
    assert quarter.shape == (60, 80, 3)
    assert picture.reduced(7) is quarter
    assert picture.reduced(2).shape == (120, 160, 3)
    assert picture.reduced(8) is quarter
    assert np.array_equal(picture.bgr, decoded(JPEG))
    assert picture.bgr is picture.reduced(1)


def test_pixels_are_never_reduced() -> None:
    bgr = np.zeros((4, 6, 3), np.uint8)
    assert Picture(bgr).reduced(8) is bgr


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_change_is_made_at_every_scale(factor: int) -> None:
    def turned(bgr: ImageBgr) -> ImageBgr:
        return np.asarray(cv2.rotate(bgr, cv2.ROTATE_90_CLOCKWISE), np.uint8)

    picture = lazy().changed(turned, is_turned=True)
    assert picture.size == (240, 320)
    assert picture.reduced(factor).shape == (320 // factor, 240 // factor, 3)
    assert np.array_equal(picture.reduced(factor), turned(lazy().reduced(factor)))
    assert picture.jpeg is None


def test_a_jpeg_that_cannot_be_decoded_says_so_and_is_shown_as_a_card() -> None:
    picture = lazy(JPEG[: len(JPEG) // 2])
    with pytest.raises(PictureRefused, match="damaged"):
        picture.reduced(8)
    assert picture.is_refused
    shown = annotate(view(picture, Drawing()))
    assert shown.shape == (240, 320, 3)
    assert shown.any()


def test_a_turned_jpeg_with_exif_is_not_passed_on() -> None:
    """Viewers would turn it again, and its EXIF data may name places."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    picture = lazy(JPEG[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + JPEG[2:])
    assert picture.size == (240, 320)
    assert picture.jpeg is None


def test_a_frozen_picture_with_a_new_time_in_its_header_repeats() -> None:
    stamped = [JPEG[:2] + b"\xff\xfe\0\x04" + time + JPEG[2:] for time in (b"01", b"02")]
    other = demo_jpegs(320, 240, 4)[3]
    assert lazy(stamped[0]).repeats(lazy(stamped[1]))
    assert not lazy(stamped[0]).repeats(lazy(other))
    assert lazy().repeats(Picture(decoded(JPEG)))


@given(RECTANGLES, st.sampled_from([1, 2, 4, 8]))
def test_no_masked_pixel_leaves_at_any_scale(
    shapes: list[tuple[float, float, float, float]], factor: int
) -> None:
    picture = Masks(shapes).applied(lazy(WHITE))
    assert picture.jpeg is None
    assert untouched_jpeg(view(picture, Drawing())) is None
    bgr = picture.reduced(factor)
    height, width = bgr.shape[:2]
    rows, columns = (np.arange(side * factor) // factor for side in (height, width))
    for x, y, w, h in shapes:
        covered_rows = rows[int(y * 96) : int(np.ceil(min(y + h, 1) * 96))]
        covered_columns = columns[int(x * 130) : int(np.ceil(min(x + w, 1) * 130))]
        if len(covered_rows) and len(covered_columns):
            assert not bgr[covered_rows[:, None], covered_columns].any()


@pytest.mark.parametrize(
    ("drawing", "notice"),
    [(Drawing(blur=True), ""), (Drawing(show=False), ""), (Drawing(), "the camera is lost")],
)
def test_what_may_not_be_seen_is_not_passed_on(drawing: Drawing, notice: str) -> None:
    assert untouched_jpeg(view(lazy(), drawing, notice)) is None


def test_what_may_be_seen_is_passed_on_as_it_came() -> None:
    assert untouched_jpeg(view(lazy(), Drawing())) == JPEG
    assert untouched_jpeg(view(Picture(decoded(JPEG)), Drawing())) is None
    assert np.array_equal(public_picture(view(lazy(), Drawing()), overlay=False), decoded(JPEG))


def test_a_face_is_cut_from_the_smallest_scale_that_is_fine_enough() -> None:
    assert [reduction(side_px, 48) for side_px in (20, 48, 95, 96, 400, 9000)] == [1, 1, 1, 2, 8, 8]


def test_a_black_picture_shows_nothing() -> None:
    assert black_picture((6, 4)).size == (6, 4)
    assert not black_picture((6, 4)).bgr.any()


def test_a_lazy_picture_is_read_only_where_it_is_plain() -> None:
    assert isinstance(lazy(), JpegPicture)
    assert not isinstance(read_picture(JPEG, reduced_pixels=10_000), JpegPicture)
    progressive = cv2.imencode(".jpg", decoded(JPEG), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]
    assert not isinstance(lazy(progressive.tobytes()), JpegPicture)
