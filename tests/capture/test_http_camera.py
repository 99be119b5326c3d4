"""Tests the pictures of HTTP cameras: which are shown, dropped, reduced or polled."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.http_camera import MULTIPART, OK, Serve, first, open_http, stream
from support.mjpeg_server import MjpegServer, Mode, demo_jpegs
from support.pictures import decoded
from support.wire_server import WireServer

from edge_daemon.capture.sources import SourceAwayError


@pytest.mark.parametrize("mode", ["ok", "bare"])
def test_every_picture_arrives_as_it_was_sent(mjpeg_server: MjpegServer, mode: Mode) -> None:
    mjpeg_server.mode = mode
    camera = open_http(mjpeg_server.url)
    for jpeg in mjpeg_server.jpegs:
        read = camera.read()
        assert read is not None
        assert np.array_equal(read.picture.bgr, decoded(jpeg))
    camera.close()


def test_damaged_pictures_are_dropped(mjpeg_server: MjpegServer) -> None:
    mjpeg_server.mode = "damaged"
    camera = open_http(mjpeg_server.url)
    for jpeg in mjpeg_server.jpegs[1::2]:
        read = camera.read()
        assert read is not None
        assert np.array_equal(read.picture.bgr, decoded(jpeg))
    camera.close()


def test_the_size_may_change_at_any_time(mjpeg_server: MjpegServer) -> None:
    camera = open_http(mjpeg_server.url)
    before = camera.read()
    mjpeg_server.jpegs = demo_jpegs(160, 120, 2)
    # Some of the old size may be on their way.
    sizes = (
        image.picture.bgr.shape[:2] for _ in range(100) if (image := camera.read()) is not None
    )
    assert before is not None
    assert before.picture.bgr.shape[:2] == (240, 320)
    assert (120, 160) in sizes
    camera.close()


def test_the_end_between_two_pictures_is_an_end(mjpeg_server: MjpegServer) -> None:
    camera = open_http(mjpeg_server.url)
    assert camera.read() is not None
    mjpeg_server.mode = "close"
    while camera.read() is not None:
        pass
    camera.close()


def test_the_end_within_a_picture_is_reported_and_half_of_it_not_shown(
    mjpeg_server: MjpegServer,
) -> None:
    camera = open_http(mjpeg_server.url)
    mjpeg_server.mode = "cut"
    with pytest.raises(SourceAwayError, match="broke off in the middle of a picture"):
        while camera.read() is not None:
            pass
    camera.close()


def test_what_only_looks_like_a_picture_does_not_hide_the_next(
    serve: Serve, jpegs: list[bytes]
) -> None:
    def answer(request: str) -> Iterable[bytes]:
        yield OK + MULTIPART + b"\r\n"
        for jpeg in jpegs:
            yield b"--frame\r\nX: \xff\xd8\xff\r\n\r\n" + jpeg + b"\r\n"

    assert first(open_http(serve(answer).url())) is not None


def test_a_camera_that_sends_no_picture_is_given_up_after_the_timeout(serve: Serve) -> None:
    server: WireServer

    def answer(request: str) -> Iterable[bytes]:
        yield OK + MULTIPART + b"\r\n"
        while not server.closing.wait(0.05):
            yield b"--frame\r\n\r\n"

    server = serve(answer)
    with pytest.raises(SourceAwayError, match="sends no picture that can be decoded"):
        first(open_http(server.url(), timeout_s=0.5))


def bomb(width: int, height: int, jpeg: bytes) -> bytes:
    """Return the picture with another size in its header."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + height.to_bytes(2) + width.to_bytes(2) + jpeg[at + 4 :]


def test_pictures_of_absurd_sizes_are_dropped(serve: Serve, jpegs: list[bytes]) -> None:
    bombs = [bomb(65500, 65500, jpegs[0]), bomb(0, 10, jpegs[0]), bomb(20000, 3, jpegs[0])]
    garbled = jpegs[1][:200] + bytes(len(jpegs[1]) - 202) + b"\xff\xd9"
    camera = open_http(serve(stream(*bombs, garbled, jpegs[2])).url())
    found = []
    while (image := camera.read()) is not None:
        found.append(image.picture.bgr.shape[:2])
    assert (240, 320) in found
    assert set(found) <= {(240, 320), (3, 20000)}
    camera.close()


def test_large_pictures_are_reduced(serve: Serve) -> None:
    large = cv2.imencode(".jpg", np.zeros((3000, 4000, 3), np.uint8))[1].tobytes()
    shown = first(open_http(serve(stream(large)).url()))
    assert shown is not None
    assert shown.shape == (1500, 2000, 3)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc", "65500×65500"),
        (b"\xff\xc0", b"\xff\xc3", "the picture is a lossless or hierarchical JPEG"),
        (b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c", "the picture is a JPEG of 12 bits"),
    ],
)
def test_what_cannot_be_decoded_is_named(
    serve: Serve, jpegs: list[bytes], before: bytes, after: bytes, sentence: str
) -> None:
    server: WireServer
    at = jpegs[0].index(before)
    changed = jpegs[0][:at] + after + jpegs[0][at + len(after) :]

    def answer(request: str) -> Iterable[bytes]:
        yield OK + MULTIPART + b"\r\n"
        while not server.closing.wait(0.05):
            yield b"--frame\r\n\r\n" + changed

    server = serve(answer)
    with pytest.raises(SourceAwayError, match=sentence):
        first(open_http(server.url(), timeout_s=0.5))


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        *product([b"image/jpeg", b"IMAGE/JPG; x=y"], ["right", "none", "zero", "small", "large"]),
        *product([b"application/octet-stream"], ["right", "none", "large"]),
    ],
)
def test_an_address_of_one_picture_is_polled(
    serve: Serve, jpegs: list[bytes], kind: bytes, length: str
) -> None:
    server: WireServer

    def answer(request: str) -> Iterable[bytes]:
        jpeg = jpegs[(len(server.requests) - 1) % len(jpegs)]
        told = {"right": len(jpeg), "zero": 0, "small": 100, "large": 10 * len(jpeg)}
        line = b"Content-Length: %d\r\n" % told[length] if length in told else b""
        yield OK + b"Content-Type: " + kind + b"\r\n" + line + b"\r\n" + jpeg

    server = serve(answer)
    camera = open_http(server.url(), fps=200)
    assert camera.mode == "JPEG, polled at up to 200 fps"
    for jpeg in jpegs:
        read = camera.read()
        assert read is not None
        assert np.array_equal(read.picture.bgr, decoded(jpeg))
    camera.close()


def test_other_video_over_http_goes_to_ffmpeg(serve: Serve, media_dir: Path) -> None:
    clip = (media_dir / "signing-bird.mkv").read_bytes()
    head = OK + b"Content-Type: video/x-matroska\r\n\r\n"
    camera = open_http(serve(lambda request: [head + clip]).url())
    image = camera.read()
    assert image is not None
    assert image.picture.bgr.shape == (480, 640, 3)
    assert image.time_s is not None
    assert camera.mode == "h264"
    camera.close()
