"""Tests JPEG streams as cameras write them, in pieces of every size."""

from __future__ import annotations

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mjpeg_server import demo_jpegs
from support.pictures import decoded

from edge_daemon.capture.jpeg_splitter import JpegSplitter

A, B, C = demo_jpegs(64, 48, 3)
EOI = b"\xff\xd9"


def with_thumbnail(jpeg: bytes, thumbnail: bytes) -> bytes:
    """Return the JPEG with another whole one in its APP1 segment."""
    segment = b"Exif\0\0" + thumbnail
    return jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2) + segment + jpeg[2:]


def progressive(jpeg: bytes) -> bytes:
    """Return the picture in several scans, with restart markers."""
    flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    return cv2.imencode(".jpg", decoded(jpeg), flags)[1].tobytes()


def part(
    jpeg: bytes, *, length: int | None = None, boundary: bytes = b"--frame", head: bytes = b""
) -> bytes:
    lengths = b"" if length is None else b"Content-Length: %d\r\n" % length
    return boundary + b"\r\n" + head + lengths + b"\r\n" + jpeg + b"\r\n"


def pictures(stream: bytes, *, step: int | None = None) -> list[bytes]:
    """Return what comes out when `stream` arrives `step` bytes at a time."""
    splitter, found = JpegSplitter(), []
    step = step or len(stream)
    for start in range(0, len(stream), step):
        splitter.feed(stream[start : start + step])
        while (jpeg := splitter.next()) is not None:
            found.append(jpeg)
    return found


STREAMS = {
    "with lengths": b"".join(part(p, length=len(p)) for p in (A, B, C)),
    "without lengths": b"".join(map(part, (A, B, C))),
    "lengths of zero": b"".join(part(p, length=0) for p in (A, B, C)),
    "lengths too small": b"".join(part(p, length=len(p) // 2) for p in (A, B, C)),
    "lengths too large": b"".join(part(p, length=2 * len(p)) for p in (A, B, C)),
    "absurd lengths": b"".join(part(p, length=10**30) for p in (A, B, C)),
    "boundaries without dashes": b"".join(part(p, boundary=b"frame") for p in (A, B, C)),
    "boundaries that change": part(A) + part(B, boundary=b"--other") + part(C, boundary=b"----x"),
    "no boundaries": A + B + C,
    "blank lines before the picture": b"".join(part(b"\r\n\r\n\n" + p) for p in (A, B, C)),
    "bare line feeds": b"".join(map(part, (A, B, C))).replace(b"\r\n", b"\n"),
    "padding after EOI": b"".join(part(p + b"\0" * 50 + b"\xff" * 7) for p in (A, B, C)),
    "rubbish after EOI": b"".join(part(p + b"\xff\xd9rubbish\xff\xd8 \xff") for p in (A, B, C)),
    "long heads": b"".join(part(p, head=b"X-Pad: " + b"x" * 50_000 + b"\r\n") for p in (A, B, C)),
    "a preamble": b"hello\r\n" * 999 + b"".join(map(part, (A, B, C))),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_every_picture_comes_out_in_order(kind: str) -> None:
    for step in (1, 7, 1000, None) if len(STREAMS[kind]) < 20_000 else (1000, None):
        assert pictures(STREAMS[kind], step=step) == [A, B, C]


@given(
    sizes=st.lists(st.integers(1, 700), max_size=60),
    rubbish=st.binary(max_size=40).filter(lambda data: b"\xff" not in data),
)
def test_pieces_of_any_size_give_the_same_pictures(sizes: list[int], rubbish: bytes) -> None:
    stream = rubbish + part(A) + rubbish + part(B) + rubbish + part(C)
    splitter, found = JpegSplitter(), []
    for size in [*sizes, len(stream)]:
        splitter.feed(stream[:size])
        stream = stream[size:]
        while (jpeg := splitter.next()) is not None:
            found.append(jpeg)
    assert found == [A, B, C]


@given(st.binary(max_size=3000))
def test_any_bytes_are_survived_and_the_next_pictures_are_found(noise: bytes) -> None:
    found = pictures(noise + part(A) * 60 + part(B))
    assert found[-1] == B


def test_a_thumbnail_and_several_scans_do_not_end_a_picture() -> None:
    sent = [with_thumbnail(A, B), progressive(C), with_thumbnail(progressive(A), C)]
    for step in (1, 500):
        assert pictures(b"".join(map(part, sent)), step=step) == sent


def test_a_picture_is_not_held_back_for_the_next() -> None:
    assert pictures(part(A)[:-2]) == [A]


@pytest.mark.parametrize("with_length", [True, False])
def test_a_camera_that_never_sends_eoi_is_read(with_length: bool) -> None:
    short = [p[:-2] for p in (A, B, C, A)]
    lengths = [len(p) if with_length else None for p in short]
    stream = b"".join(part(p, length=n) for p, n in zip(short, lengths, strict=True))
    assert pictures(stream, step=100) == [A, B, C]  # the last is not known to be whole


@pytest.mark.parametrize("with_length", [True, False])
def test_a_picture_cut_short_costs_only_itself(with_length: bool) -> None:
    lengths = [len(p) if with_length else None for p in (A, B, C)]
    sent = [A, B[: len(B) * 2 // 3], C]
    stream = b"".join(part(p, length=n) for p, n in zip(sent, lengths, strict=True))
    for step in (1, 64, None):
        assert pictures(stream, step=step) == [A, C]


def test_the_first_picture_cut_short_is_known_by_its_length() -> None:
    assert pictures(part(A[:400], length=len(A)) + part(B, length=len(B))) == [B]


def test_inside_a_picture_is_known() -> None:
    splitter = JpegSplitter()
    for piece, inside in ((b"--frame\r\n\r\n", False), (A[:-1], True), (A[-1:], False)):
        splitter.feed(piece)
        splitter.next()
        assert splitter.inside is inside


def test_memory_has_a_limit() -> None:
    splitter = JpegSplitter()
    for noise in (b"x" * 1_000_000, A[:-2] + b"\0" * 1_000_000):
        for _ in range(40):
            splitter.feed(noise)
            while splitter.next():
                pass
            assert len(splitter._bytes) < 34_000_000
    splitter.feed(part(B) * 2)
    found = []
    while (jpeg := splitter.next()) is not None:
        found.append(jpeg)
    assert found[-1] == B


def missing_after_a_half(splitter: JpegSplitter, length: int | None) -> int:
    """Feed a picture in two halves, and return what was said to be missing between them."""
    stream = part(A, length=length)
    half = len(stream) - len(A) // 2
    splitter.feed(stream[:half])
    assert splitter.next() is None
    missing = splitter.missing
    splitter.feed(stream[half:])
    assert splitter.next() == A
    assert splitter.missing == 1
    return missing


def test_lengths_that_were_right_tell_how_much_to_wait_for() -> None:
    splitter = JpegSplitter()
    said = [missing_after_a_half(splitter, len(A)) for _ in range(5)]
    assert said == [1, 1, 1, len(A) // 2 - 2, len(A) // 2 - 2]
    assert missing_after_a_half(splitter, None) == 1
    assert missing_after_a_half(splitter, len(A) // 4) == 1


def test_after_a_length_that_was_too_large_no_length_is_trusted() -> None:
    splitter = JpegSplitter()
    for length in (len(A), len(A), len(A), len(A) + 1):
        missing_after_a_half(splitter, length)
    assert missing_after_a_half(splitter, len(A)) == 1
