"""Tests the answers of HTTP cameras: which are read, and the sentences for the others."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
import pytest
from support.http_camera import MULTIPART, OK, Serve, first, open_http, stream
from support.mjpeg_server import MjpegServer, Mode
from support.pictures import decoded
from support.wire_server import WireServer

from edge_daemon.capture.http import cleaned
from edge_daemon.capture.sources import SourceAwayError


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("refuse", "answers 503 Service Unavailable"),
        ("png", "answers with image/png, not with video or JPEG pictures"),
    ],
)
def test_what_the_camera_answers_is_reported(
    mjpeg_server: MjpegServer, mode: Mode, sentence: str
) -> None:
    mjpeg_server.mode = mode
    with pytest.raises(SourceAwayError, match=sentence) as caught:
        open_http(mjpeg_server.url)
    assert "secret" not in str(caught.value)


def test_nobody_there(jpegs: list[bytes]) -> None:
    server = MjpegServer(jpegs)
    server.stop()
    with pytest.raises(SourceAwayError, match="does not answer: Connection refused"):
        open_http(server.url)


@pytest.mark.parametrize(
    "head",
    [
        b"ICY 200 OK\r\n" + MULTIPART,
        b"ICY 200 OK\r\nContent-Type: image/jpeg\r\n",
        OK + b"Content-Type: multipart/x-mixed-replace\r\n",
        OK + b"Content-Type: multipart/x-mixed-replace;boundary=other\r\n",
        OK + b"Content-Type: Multipart/Mixed ; boundary=\r\n",
        OK + b"no colon here\r\n : x\r\n\tfolded\r\n" + MULTIPART,
        OK + b"Content-Type : multipart/x-mixed-replace\r\n",
        OK + b"X-Pad: y\r\n" * 50 + MULTIPART + b"X-Pad: y\r\n" * 1000,
        OK + MULTIPART + b"X-Long: " + b"y" * 200_000 + b"\r\n",
        OK + b"X: \x80\xff\x1b[31m\r\n" + MULTIPART,
        OK + b"Content-Type: application/octet-stream\r\n",
        OK + b"Content-Type: text/plain\r\n",
        OK,
        b"HTTP/1.1 200\r\n" + MULTIPART,
        b"HTTP/2 200\r\n" + MULTIPART,
        b"http/1.1 200 ok\r\n" + MULTIPART,
        b"RTSP/1.0  200 OK\r\n" + MULTIPART,
        b"\r\n\r\n" + OK + MULTIPART,
        b"--frame\r\nContent-Type: image/jpeg\r\n",
        OK + b"Content-Length: 0\r\n" + MULTIPART,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" + MULTIPART,
        OK + b"Content-Type: multipart/x-mixed-replace;\r\n boundary=frame\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + OK + MULTIPART,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"no colon\r\n" + MULTIPART,
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10\r\n" + MULTIPART,
        b"HTTP/1.1 203 From a proxy\r\n" + MULTIPART,
    ],
)
def test_answers_that_bend_http_are_read(serve: Serve, jpegs: list[bytes], head: bytes) -> None:
    server = serve(stream(*jpegs, head=head + b"\r\n"))
    shown = first(open_http(server.url()))
    assert shown is not None
    assert np.array_equal(shown, decoded(jpegs[0]))


@pytest.mark.parametrize("wbits", [15, 31])
def test_a_compressed_stream_is_read(serve: Serve, jpegs: list[bytes], wbits: int) -> None:
    packed = zlib.compressobj(wbits=wbits)
    body = b"".join(b"--frame\r\n\r\n%b\r\n" % jpeg for jpeg in jpegs)
    head = OK + b"Content-Encoding: gzip\r\n" + MULTIPART + b"\r\n"
    camera = open_http(serve(lambda request: [head, packed.compress(body), packed.flush()]).url())
    for jpeg in jpegs:
        read = camera.read()
        assert read is not None
        assert np.array_equal(read.picture.bgr, decoded(jpeg))
    camera.close()


def test_chunks_are_put_together(serve: Serve, jpegs: list[bytes]) -> None:
    def answer(request: str) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + MULTIPART + b"\r\n"
        for data in list(stream(*jpegs)(request))[1:]:
            for start in range(0, len(data), 3000):
                piece = data[start : start + 3000]
                yield b"%x\r\n%b\r\n" % (len(piece), piece)

    assert first(open_http(serve(answer).url())) is not None


@pytest.mark.parametrize("surplus", [0, 1000, 10**9])
def test_pictures_in_small_pieces_arrive_though_a_length_is_too_large(
    serve: Serve, jpegs: list[bytes], surplus: int
) -> None:
    def answer(request: str) -> Iterable[bytes]:
        head, *parts = list(stream(*jpegs)(request))
        yield head
        parts[4] = b"--frame\r\nContent-Length: %d\r\n\r\n%b\r\n" % (
            len(jpegs[4]) + surplus,
            jpegs[4],
        )
        for data in parts:
            for start in range(0, len(data), 1000):
                yield data[start : start + 1000]

    camera = open_http(serve(answer).url())
    for jpeg in jpegs:
        read = camera.read()
        assert read is not None
        assert read.picture.jpeg == jpeg
    camera.close()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ([OK + b"X: y\r\n" * 300_000], "its header has no end"),
        ([OK + b"X: " + b"y" * 3_000_000], "its header has no end"),
        ([b"\x00\xff nonsense\r\n\r\n"], "does not answer as HTTP does"),
        ([b""], "does not answer"),
        ([b"HTTP/1.0 500 " + b"A\x1b[2J\x07b" * 9000 + b"\r\n\r\n"], r"answers 500 A \[2J bA"),
        ([b"HTTP/1.0 404 =cmd()\x00\r\n\r\n"], r"answers 404 =cmd\(\)"),
        ([b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html>"], "answers with text/html"),
        ([b"HTTP/1.0 302 Found\r\nLocation: rtsp://a/b\r\n\r\n"], "name that as camera.source"),
        ([b"HTTP/1.0 302 Found\r\nLocation: http://[x\r\n\r\n"], "an address that cannot be read"),
        ([b"HTTP/1.0 302 Found\r\nLocation: /again\r\n\r\n"], "answers 302 Found"),
        ([b"HTTP/1.0 204 None\r\n\r\n"], "answers 204 None"),
        ([b"HTTP/1.1 101 Switching\r\n\r\n"], "answers 101 Switching"),
        ([b"HTTP/1.1 103 Hints\r\n\r\n" * 100_000], "its header has no end"),
    ],
)
def test_nonsense_is_one_short_sentence(serve: Serve, answer: list[bytes], sentence: str) -> None:
    server = serve(lambda request: answer)
    with pytest.raises(SourceAwayError, match=sentence) as caught:
        open_http(server.url())
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_an_answer_that_drips_is_given_up_after_the_timeout(serve: Serve) -> None:
    server: WireServer

    def answer(request: str) -> Iterable[bytes]:
        yield OK
        while not server.closing.wait(0.05):
            yield b"X"

    server = serve(answer)
    with pytest.raises(SourceAwayError, match=r"does not answer within 0\.5 s"):
        open_http(server.url(), timeout_s=0.5)


def test_a_slow_camera_is_waited_for_as_configured(serve: Serve, jpegs: list[bytes]) -> None:
    server: WireServer

    def answer(request: str) -> Iterable[bytes]:
        server.closing.wait(0.7)
        yield OK + MULTIPART + b"\r\n"
        for jpeg in jpegs:
            server.closing.wait(0.7)
            yield b"--frame\r\n\r\n" + jpeg

    server = serve(answer)
    camera = open_http(server.url(), timeout_s=10)
    assert camera.read() is not None
    assert camera.read() is not None
    camera.close()
    with pytest.raises(SourceAwayError, match=r"within 0\.5 s"):
        open_http(server.url(), timeout_s=0.5)


def test_what_cameras_say_is_cleaned() -> None:
    assert cleaned("a\x1b[31m\r\nb\u2028c" + "x" * 500) == ("a [31m b c" + "x" * 70)[:80] + "…"
