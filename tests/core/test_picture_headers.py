"""Tests the sizes and scans that headers of pictures claim: read, limited, and never hidden."""

from __future__ import annotations

import struct
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import ROOT
from support.picture_headers import (
    EDITS,
    SCAN_HEADER,
    edited,
    frame_header,
    gif_header,
    png_header,
    refusal_of,
    tiff_header,
    tiff_of,
)
from support.pictures import ENCODERS, by_opencv, by_pillow

from edge_daemon.core.picture import (
    MAX_PIXELS,
    RefusalKind,
    decode_picture,
)
from edge_daemon.core.picture_header import BadHeader, picture_format, read_header


@pytest.mark.parametrize(
    "content",
    [
        png_header(65_500, 65_500),
        png_header(2**31 - 1, 2**31 - 1),
        b"\xff\xd8" + frame_header(65_500, 65_500) + SCAN_HEADER + bytes(100),
        gif_header(65_500, 65_500),
        tiff_header(65_500, 65_500),
        tiff_header(16, 16, t322=65_536, t323=65_536),
        tiff_of((256, 4, 65_500), (257, 4, 65_500), (256, 4, 16), (257, 4, 16)),
        tiff_of((256, 4, 16), (257, 4, 16), (322, 9, 65_536), (323, 9, 65_536)),
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 65_500, -65_500) + bytes(200),
        b"P6 # a comment\n65500 # 12\n65500\n255\n" + bytes(100),
        b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
    ],
    ids=[
        "png",
        "png of 2^62",
        "jpeg",
        "gif",
        "tiff",
        "tiff's tile",
        "tiff, twice",
        "tiff, signed",
        "bmp",
        "pnm",
        "webp",
    ],
)
def test_a_claim_is_refused_before_it_is_decoded(content: bytes) -> None:
    assert refusal_of(content) is RefusalKind.TOO_LARGE
    assert refusal_of(content, max_pixels=256_000_000) is RefusalKind.TOO_LARGE


def with_hidden_size(between: bytes) -> bytes:
    """Return a JPEG of 65500×16000 whose frame header stands behind what has no length.

    Whoever reads the two bytes after TEM, RSTn or a stuffed zero as a length jumps to another
    frame header, of 16×16.
    """
    true = frame_header(65_500, 16_000)
    comment = b"\xff\xfe\0\x04ab"
    false = bytes(600) + frame_header(16, 16) + SCAN_HEADER
    return b"\xff\xd8" + comment + between + true + SCAN_HEADER + false


@pytest.mark.parametrize(
    "between",
    [b"\xff\x01", b"\xff\xd0", b"\xff\xd7", b"\xff\x00", b"\xff\xff\xff", b"\x00\x00", b"rubbish"],
    ids=["TEM", "RST0", "RST7", "stuffed zero", "fill bytes", "zeros", "rubbish"],
)
def test_no_marker_hides_a_size(between: bytes) -> None:
    assert read_header(with_hidden_size(between)).width == 65_500
    assert refusal_of(with_hidden_size(between)) is RefusalKind.TOO_LARGE


def test_a_second_frame_header_is_refused() -> None:
    content = b"\xff\xd8" + frame_header(16, 16) + frame_header(65_500, 600) + SCAN_HEADER
    assert refusal_of(content + bytes(100)) is RefusalKind.DAMAGED


BETWEEN = st.sampled_from(
    [b"\xff", b"\x00", b"\xff\x01", b"\xff\xd3", b"\xff\x00", b"x", b"\xff\xfe\0\x03a"]
)


@given(st.integers(0, 20), st.lists(BETWEEN, max_size=6), EDITS.map(lambda edits: edits[:2]))
def test_headers_agree_with_the_decoder(
    border: int, pieces: list[bytes], edits: list[tuple[int, int]]
) -> None:
    """Whatever is put between a JPEG's segments, OpenCV decodes the size that was read."""
    whole = by_opencv(".jpg")(np.zeros((40, 56, 3), np.uint8))
    borders = [2]
    while whole[borders[-1] + 1] != 0xDA:
        borders.append(borders[-1] + 2 + int.from_bytes(whole[borders[-1] + 2 : borders[-1] + 4]))
    at = borders[border % len(borders)]
    content = edited(whole[:at] + b"".join(pieces) + whole[at:], edits, first=2)
    try:
        header = read_header(content)
        small = header.width * header.height < 10_000_000
    except BadHeader:
        small, header = True, None
    if not small:
        return  # it is refused; OpenCV would only take long
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if bgr is not None:
        assert header is not None
        assert (header.height, header.width) == bgr.shape[:2]


def test_too_many_scans_are_refused() -> None:
    content = ENCODERS["JPEG progressive"](np.zeros((64, 64, 3), np.uint8))
    assert 1 < read_header(content).scans < 20
    scan = content[content.index(b"\xff\xda") : content.rindex(b"\xff\xd9")]
    assert refusal_of(content[:-2] + scan * 20 + b"\xff\xd9") is RefusalKind.TOO_MANY_SCANS


def test_the_cost_of_scans_grows_with_the_pixels() -> None:
    """4:4:4 in several scans needs six bytes a pixel beside the picture."""
    progressive = by_pillow("JPEG", progressive=True, subsampling=0)
    flat = np.zeros((6000, 6000, 3), np.uint8)
    assert flat[..., 0].size < MAX_PIXELS
    assert refusal_of(progressive(flat)) is RefusalKind.TOO_MANY_SCANS
    assert decode_picture(by_opencv(".jpg")(flat), reduced_pixels=2**22).size == (6000, 6000)


def test_truncated_headers_never_crash() -> None:
    for encode in ENCODERS.values():
        whole = encode(np.zeros((8, 8, 3), np.uint8))
        for length in range(min(len(whole), 400)):
            assert picture_format(whole[:length]) in {None, picture_format(whole)}
            try:
                read_header(whole[:length])
            except BadHeader as error:
                assert str(error)


def test_opencv_itself_refuses_what_the_header_hid() -> None:
    """The second wall: the limit that `mien` sets for OpenCV."""
    program = """
        import os
        from edge_daemon.commands import MAX_PIXELS
        os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = MAX_PIXELS
        import cv2, numpy as np
        large = cv2.imencode(".png", np.zeros((7000, 7000), np.uint8))[1]
        try: print(cv2.imdecode(large, cv2.IMREAD_COLOR))
        except cv2.error as error: print("refused")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() in {"refused", "None"}, done.stderr
