"""HTTP cameras on a real server: what is read, what is left out, and what is said of failures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from support.mjpeg_server import MjpegServer, Mode, demo_jpegs
from support.pictures import decoded

from edge_daemon.capture.mjpeg import open_http
from edge_daemon.capture.sources import SourceAwayError


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    return demo_jpegs(320, 240, 6)


@pytest.fixture
def server(jpegs: list[bytes]) -> Iterator[MjpegServer]:
    server = MjpegServer(jpegs)
    yield server
    server.stop()


@pytest.mark.parametrize("mode", ["ok", "bare"])
def test_every_picture_arrives_as_it_was_sent(server: MjpegServer, mode: Mode) -> None:
    server.mode = mode
    camera = open_http(server.url)
    for jpeg in server.jpegs:
        read = camera.read()
        assert read is not None
        assert np.array_equal(read.bgr, decoded(jpeg))
    camera.close()


def test_damaged_pictures_are_left_out(server: MjpegServer) -> None:
    server.mode = "damaged"
    camera = open_http(server.url)
    for jpeg in server.jpegs[1::2]:
        read = camera.read()
        assert read is not None
        assert np.array_equal(read.bgr, decoded(jpeg))
    camera.close()


def test_the_size_may_change_at_any_time(server: MjpegServer) -> None:
    camera = open_http(server.url)
    first = camera.read()
    server.jpegs = demo_jpegs(160, 120, 2)
    # Some of the old size may be on their way.
    sizes = (image.bgr.shape[:2] for _ in range(100) if (image := camera.read()) is not None)
    assert first is not None
    assert first.bgr.shape[:2] == (240, 320)
    assert (120, 160) in sizes
    camera.close()


def test_the_end_between_two_pictures_is_an_end(server: MjpegServer) -> None:
    camera = open_http(server.url)
    assert camera.read() is not None
    server.mode = "close"
    while camera.read() is not None:
        pass
    camera.close()


def test_the_end_within_a_picture_is_told_and_half_of_it_not_shown(server: MjpegServer) -> None:
    camera = open_http(server.url)
    server.mode = "cut"
    with pytest.raises(SourceAwayError, match="broke off in the middle of a picture"):
        while camera.read() is not None:
            pass
    camera.close()


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [("refuse", "answers 503 Service Unavailable"), ("png", "does not answer with a video")],
)
def test_what_the_camera_answers_is_told(server: MjpegServer, mode: Mode, sentence: str) -> None:
    server.mode = mode
    with pytest.raises(SourceAwayError, match=sentence) as told:
        open_http(server.url)
    assert "secret" not in str(told.value)


def test_nobody_there(jpegs: list[bytes]) -> None:
    server = MjpegServer(jpegs)
    server.stop()
    with pytest.raises(SourceAwayError, match="does not answer: Connection refused"):
        open_http(server.url)


def test_the_user_name_and_password_of_the_address_are_given(server: MjpegServer) -> None:
    server.user = "viewer:secret"
    camera = open_http(server.url)
    assert camera.read() is not None
    camera.close()
    server.user = "viewer:another"
    with pytest.raises(SourceAwayError, match="refuses the user name or the password"):
        open_http(server.url)
    with pytest.raises(SourceAwayError, match="asks for a user name and password"):
        open_http(server.url.replace("viewer:secret@", ""))
