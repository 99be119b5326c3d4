"""multipart/x-mixed-replace as cameras write it, fed in pieces of every size."""

from __future__ import annotations

import pytest

from edge_daemon.capture.multipart import Multipart, NotMultipartError

A, B, C = (b"\xff\xd8" + letter * 50 + b"\xff\xd9" for letter in (b"a", b"\n", b"-"))


def part(jpeg: bytes, *, length: int | None = None, head: bytes = b"") -> bytes:
    lengths = b"" if length is None else b"Content-Length: %d\r\n" % length
    return b"--frame\r\n" + head + lengths + b"\r\n" + jpeg + b"\r\n"


def pictures(stream: bytes, *, boundary: str = "frame", step: int | None = None) -> list[bytes]:
    """What comes out when `stream` arrives `step` bytes at a time."""
    parts, found = Multipart(boundary), []
    step = step or len(stream)
    for start in range(0, len(stream), step):
        parts.feed(stream[start : start + step])
        while (jpeg := parts.next()) is not None:
            found.append(jpeg)
    return found


@pytest.mark.parametrize("step", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("with_length", [True, False])
def test_pictures_come_out_in_order(step: int, with_length: bool) -> None:
    sent = (A, B, C, A)
    stream = b"".join(part(p, length=len(p) if with_length else None) for p in sent) + b"--frame--"
    assert pictures(stream, step=step) == list(sent)


def test_a_picture_with_its_length_is_not_held_back_for_the_next() -> None:
    parts = Multipart("frame")
    parts.feed(b"--frame\r\ncontent-length:%d\r\n\r\n" % len(A) + A)
    assert parts.next() == A


def test_a_part_cut_short_costs_only_itself() -> None:
    stream = part(A, length=len(A)) + part(B[:20], length=len(B)) + part(C, length=len(C))
    assert pictures(stream) == [A, C]
    assert pictures(stream, step=5) == [A, C]


def test_what_is_no_picture_is_left_out() -> None:
    stream = part(b"hello", length=5) + part(A[:-2]) + part(B, length=len(B)) + part(C) + b"--frame"
    assert pictures(stream) == [B, C]


def test_padding_after_a_picture_is_taken_off() -> None:
    assert pictures(part(A + b"\0\0\0", length=len(A) + 3)) == [A]


@pytest.mark.parametrize("boundary", ["frame", "--frame", '"frame"'])
def test_boundaries_are_taken_as_cameras_write_them(boundary: str) -> None:
    assert pictures(part(A, length=len(A)), boundary=boundary) == [A]


def test_bare_line_feeds_and_a_preamble_are_borne() -> None:
    stream = b"hello\n" + part(A, length=len(A)).replace(b"\r\n", b"\n")
    assert pictures(stream) == [A]


def test_inside_a_picture_is_known() -> None:
    parts = Multipart("frame")
    for piece, inside in ((b"--frame\r\n", False), (b"\r\n\xff\xd8", True)):
        parts.feed(piece)
        assert parts.next() is None
        assert parts.inside is inside


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        (b"--frame\r\n" + b"x: y\r\n" * 5000, "headers"),
        (b"--frame\r\nContent-Length: 99999999999\r\n\r\n", "too large"),
    ],
)
def test_memory_has_a_limit(stream: bytes, complaint: str) -> None:
    with pytest.raises(NotMultipartError, match=complaint):
        pictures(stream)


def test_bytes_without_a_boundary_are_not_kept() -> None:
    parts = Multipart("frame")
    for _ in range(100):
        parts.feed(b"x" * 100_000)
        assert parts.next() is None
    assert not parts.inside
