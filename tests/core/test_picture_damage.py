"""Tests that what is damaged or no picture is refused with its reason."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.picture_headers import (
    EDITS,
    SCAN_HEADER,
    edited,
    frame_header,
    gif_header,
    png_header,
    refusal_of,
    tiff_header,
)
from support.pictures import ENCODERS, demo_scene

from edge_daemon.core.picture import (
    MAX_PIXELS,
    PictureRefused,
    RefusalKind,
    decode_picture,
)


def test_a_tiff_of_a_kind_that_nobody_decodes_is_not_called_damaged_alone() -> None:
    unknown_compression = tiff_header(160, 120, t259=34_661)
    with pytest.raises(PictureRefused, match="of a kind that cannot be decoded; export it as PNG"):
        decode_picture(unknown_compression)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", RefusalKind.UNKNOWN_FORMAT),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", RefusalKind.UNKNOWN_FORMAT),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), RefusalKind.UNKNOWN_FORMAT),
        (b"\0\0\0\x18ftypmp42" + bytes(100), RefusalKind.UNKNOWN_FORMAT),
        (tiff_header(160, 120, t254=1), RefusalKind.UNKNOWN_FORMAT),
        (b"\xff\xd8\xff", RefusalKind.DAMAGED),
        (png_header(640, 480), RefusalKind.DAMAGED),
        (png_header(0, 480), RefusalKind.DAMAGED),
        (b"\x89PNG\r\n\x1a\n\0\0", RefusalKind.DAMAGED),
        (b"\xff\xd8" + frame_header(100, 0) + SCAN_HEADER, RefusalKind.DAMAGED),
        (b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0", RefusalKind.DAMAGED),
        (b"P6 x y 255\n", RefusalKind.DAMAGED),
        (tiff_header(16, 16)[:20], RefusalKind.DAMAGED),
        (gif_header(16, 16), RefusalKind.DAMAGED),
        (b"\0\0\0\x18ftypavif" + bytes(100), RefusalKind.DAMAGED),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100), RefusalKind.DAMAGED),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, kind: RefusalKind) -> None:
    assert refusal_of(content) is kind


@functools.cache
def flat(name: str) -> bytes:
    return ENCODERS[name](np.full((48, 64, 3), 99, np.uint8))


@given(st.sampled_from(sorted(ENCODERS)), st.floats(0, 1), EDITS)
def test_any_damage_ends_in_a_refusal_or_a_picture(
    name: str, share: float, edits: list[tuple[int, int]]
) -> None:
    whole = flat(name)
    content = edited(whole[: max(round(share * len(whole)), 4)], edits)
    try:
        picture = decode_picture(content)
    except PictureRefused as error:
        assert str(error)
    else:
        assert picture.bgr.dtype == np.uint8
        assert picture.bgr.size <= 3 * MAX_PIXELS


@pytest.mark.parametrize("name", ENCODERS)
def test_half_a_picture_is_damaged(name: str) -> None:
    content = ENCODERS[name](demo_scene())
    assert refusal_of(content[: len(content) // 2]) is RefusalKind.DAMAGED
