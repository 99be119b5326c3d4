"""Tests HTTP cameras on real servers: what is read or dropped, and the reasons of failures."""

from __future__ import annotations

import base64
import hashlib
import ssl
import subprocess
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.camera_bench import opener
from support.mjpeg_server import MjpegServer, Mode, demo_jpegs
from support.pictures import decoded
from support.wire_server import Answer, WireServer, header, is_digest_right

from edge_daemon.capture.address import parse_address
from edge_daemon.capture.digest import DigestChallenge
from edge_daemon.capture.http import cleaned
from edge_daemon.capture.login import parse_challenges
from edge_daemon.capture.opener import source_opener
from edge_daemon.capture.sources import Source, SourceAwayError
from edge_daemon.capture.video import NetworkVideo

MULTIPART = b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n"
OK = b"HTTP/1.0 200 OK\r\n"
Serve = Callable[..., WireServer]


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    return demo_jpegs(320, 240, 6)


@pytest.fixture
def server(jpegs: list[bytes]) -> Iterator[MjpegServer]:
    server = MjpegServer(jpegs)
    yield server
    server.stop()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that answer the bytes they are given."""
    started: list[WireServer] = []

    def start(answer: Answer, **tls: Any) -> WireServer:
        started.append(WireServer(answer, **tls))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def open_http(url: str, *, timeout_s: float = 5.0, fps: float = 30.0, **more: Any) -> Source:
    source = {"width": 320, "height": 240, "loop": False}
    return source_opener(url, **source, fps=fps, timeout_s=timeout_s, **more)()  # type: ignore[arg-type]


def stream(*jpegs: bytes, head: bytes = OK + MULTIPART + b"\r\n") -> Answer:
    def answer(request: str) -> Iterable[bytes]:
        yield head
        for jpeg in jpegs:
            yield b"--frame\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(jpeg), jpeg)

    return answer


def first(source: Source) -> np.ndarray[Any, Any] | None:
    """Return the first picture; the source is closed."""
    try:
        image = source.read()
    finally:
        source.close()
    return None if image is None else image.picture.bgr


@pytest.mark.parametrize("mode", ["ok", "bare"])
def test_every_picture_arrives_as_it_was_sent(server: MjpegServer, mode: Mode) -> None:
    server.mode = mode
    camera = open_http(server.url)
    for jpeg in server.jpegs:
        read = camera.read()
        assert read is not None
        assert np.array_equal(read.picture.bgr, decoded(jpeg))
    camera.close()


def test_damaged_pictures_are_dropped(server: MjpegServer) -> None:
    server.mode = "damaged"
    camera = open_http(server.url)
    for jpeg in server.jpegs[1::2]:
        read = camera.read()
        assert read is not None
        assert np.array_equal(read.picture.bgr, decoded(jpeg))
    camera.close()


def test_the_size_may_change_at_any_time(server: MjpegServer) -> None:
    camera = open_http(server.url)
    before = camera.read()
    server.jpegs = demo_jpegs(160, 120, 2)
    # Some of the old size may be on their way.
    sizes = (
        image.picture.bgr.shape[:2] for _ in range(100) if (image := camera.read()) is not None
    )
    assert before is not None
    assert before.picture.bgr.shape[:2] == (240, 320)
    assert (120, 160) in sizes
    camera.close()


def test_the_end_between_two_pictures_is_an_end(server: MjpegServer) -> None:
    camera = open_http(server.url)
    assert camera.read() is not None
    server.mode = "close"
    while camera.read() is not None:
        pass
    camera.close()


def test_the_end_within_a_picture_is_reported_and_half_of_it_not_shown(server: MjpegServer) -> None:
    camera = open_http(server.url)
    server.mode = "cut"
    with pytest.raises(SourceAwayError, match="broke off in the middle of a picture"):
        while camera.read() is not None:
            pass
    camera.close()


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("refuse", "answers 503 Service Unavailable"),
        ("png", "answers with image/png, not with video or JPEG pictures"),
    ],
)
def test_what_the_camera_answers_is_reported(
    server: MjpegServer, mode: Mode, sentence: str
) -> None:
    server.mode = mode
    with pytest.raises(SourceAwayError, match=sentence) as caught:
        open_http(server.url)
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


def test_what_only_looks_like_a_picture_does_not_hide_the_next(
    serve: Serve, jpegs: list[bytes]
) -> None:
    def answer(request: str) -> Iterable[bytes]:
        yield OK + MULTIPART + b"\r\n"
        for jpeg in jpegs:
            yield b"--frame\r\nX: \xff\xd8\xff\r\n\r\n" + jpeg + b"\r\n"

    assert first(open_http(serve(answer).url())) is not None


def test_chunks_are_put_together(serve: Serve, jpegs: list[bytes]) -> None:
    def answer(request: str) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + MULTIPART + b"\r\n"
        for data in list(stream(*jpegs)(request))[1:]:
            for start in range(0, len(data), 3000):
                piece = data[start : start + 3000]
                yield b"%x\r\n%b\r\n" % (len(piece), piece)

    assert first(open_http(serve(answer).url())) is not None


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


def test_a_camera_that_sends_no_picture_is_given_up_after_the_timeout(serve: Serve) -> None:
    server: WireServer

    def answer(request: str) -> Iterable[bytes]:
        yield OK + MULTIPART + b"\r\n"
        while not server.closing.wait(0.05):
            yield b"--frame\r\n\r\n"

    server = serve(answer)
    with pytest.raises(SourceAwayError, match="sends no picture that can be decoded"):
        first(open_http(server.url(), timeout_s=0.5))


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


NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
DIGEST = f'Digest realm="cam, \\"1\\"", nonce="{NONCE}"'
USER, PASSWORD = "ad min", 'p:ä/#?[]@%41"x'
LOGIN = "ad%20min:p%3A%C3%A4%2F%23%3F%5B%5D%40%2541%22x@"


@pytest.mark.parametrize(
    ("challenges", "scheme"),
    [
        (['Basic realm="cam"'], "Basic"),
        (["bAsIc realm=cam"], "Basic"),
        (["Basic"], "Basic"),
        ([DIGEST], "Digest"),
        ([f'DIGEST REALM="r",NONCE="{NONCE}",QOP="auth"'], "Digest"),
        ([DIGEST + ', qop="auth"'], "Digest"),
        ([DIGEST + ', qop="auth,auth-int"'], "Digest"),
        ([DIGEST + ', qop="auth-int, auth", algorithm=SHA-256'], "Digest"),
        ([DIGEST + ", qop=auth , algorithm=md5"], "Digest"),
        ([DIGEST + ', qop="auth", algorithm="MD5-sess"'], "Digest"),
        ([DIGEST + ', qop="auth-int"', 'Basic realm="x"'], "Digest"),
        ([DIGEST + ', qop="auth", algorithm=SHA-256-sess'], "Digest"),
        ([DIGEST + ", algorithm=MD5-SESS"], "Digest"),
        ([DIGEST + ', qop="auth-int", algorithm=SHA-512-256-sess, userhash=true'], "Digest"),
        ([DIGEST + ', qop="auth", algorithm=SHA-256, userhash=TRUE, charset=UTF-8'], "Digest"),
        ([DIGEST + ', algorithm=SHA-1, opaque="a\\"b"'], "Digest"),
        ([DIGEST + ", algorithm=SHA3-256", 'Basic realm="x"'], "Basic"),
        ([DIGEST + ', qop="auth-next"', 'Basic realm="x"'], "Basic"),
        (['Basic realm="x"', DIGEST + ', qop="auth"'], "Digest"),
        ([f'Basic realm="a, b=c", {DIGEST}, algorithm=MD5'], "Digest"),
        ([f'{DIGEST}, algorithm=SHA-256, qop="auth", Basic realm="x"'], "Digest"),
        ([f"Negotiate, NTLM, {DIGEST}"], "Digest"),
        (["Negotiate YWJj==", 'Bearer realm="x"', 'Basic realm="y"'], "Basic"),
        ([DIGEST + ", algorithm=SHA-512-256", DIGEST + ", algorithm=MD5"], "Digest"),
        ([DIGEST + ", algorithm=MD5", DIGEST + ", algorithm=SHA-256"], "Digest"),
        ([f'Digest nonce="{NONCE}", qop="auth"'], "Digest"),
        ([f'Digest realm="r",\r\n\tnonce="{NONCE}",\r\n qop="auth"'], "Digest"),
    ],
)
def test_log_in(serve: Serve, jpegs: list[bytes], challenges: list[str], scheme: str) -> None:
    basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def answer(request: str) -> Iterable[bytes]:
        given = header(request, "Authorization")
        right = is_digest_right(request, user=USER, password=PASSWORD, nonce=NONCE)
        if (scheme == "Digest" and right) or (scheme == "Basic" and given == basic):
            yield from stream(*jpegs)(request)
        else:
            lines = "".join(f"WWW-Authenticate: {each}\r\n" for each in challenges)
            yield f"HTTP/1.1 401 Unauthorized\r\n{lines}\r\n".encode("latin-1")

    assert first(open_http(serve(answer).url(LOGIN, "/cam.mjpg?a=b c&d=ü"))) is not None
    server = serve(answer)
    with pytest.raises(SourceAwayError, match="refuses the user name or the password") as caught:
        open_http(server.url("x:wrong@"))
    assert "wrong" not in str(caught.value)
    with pytest.raises(SourceAwayError, match="asks for a user name and password"):
        open_http(server.url())


@pytest.mark.parametrize("challenge", ["Basic", DIGEST + ', algorithm=SHA-256, qop="auth"'])
def test_log_in_with_a_name_in_another_script(
    serve: Serve, jpegs: list[bytes], challenge: str
) -> None:
    basic = "Basic " + base64.b64encode("顔:笑顔".encode()).decode()

    def answer(request: str) -> Iterable[bytes]:
        given = header(request, "Authorization")
        readable = request.encode("latin-1").decode()
        if given == basic or is_digest_right(readable, user="顔", password="笑顔", nonce=NONCE):  # noqa: S106
            return stream(*jpegs)(request)
        return [f"HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\n\r\n".encode()]

    assert first(open_http(serve(answer).url("顔:笑顔@"))) is not None


def test_a_realm_in_another_script_is_sent_back_as_it_came(
    serve: Serve, jpegs: list[bytes]
) -> None:
    challenge = f'Digest realm="門", nonce="{NONCE}", qop="auth"'

    def answer(request: str) -> Iterable[bytes]:
        readable = request.encode("latin-1").decode()
        if is_digest_right(readable, user="me", password="pass", nonce=NONCE):  # noqa: S106
            return stream(*jpegs)(request)
        return [f"HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\n\r\n".encode()]

    assert first(open_http(serve(answer).url("me:pass@"))) is not None


@pytest.mark.parametrize(
    ("challenge", "named"),
    [
        ("NTLM", "ntlm"),
        ('Digest realm="x"', "digest without a nonce"),
        ('Digest nonce="x", algorithm=SHA3-256-sess', "digest with algorithm=SHA3-256-sess"),
        ('Digest nonce="x", qop="auth-next, Z"', "digest with qop=auth-next, Z"),
        ("Bearer, Digest nonce=x, algorithm=\x01", "bearer, digest with algorithm="),
        ("", "not named"),
    ],
)
def test_a_log_in_of_an_unknown_kind_is_named(serve: Serve, challenge: str, named: str) -> None:
    line = f"WWW-Authenticate: {challenge}\r\n" if challenge else ""
    server = serve(lambda request: [f"HTTP/1.1 401 No\r\n{line}\r\n".encode()])
    with pytest.raises(SourceAwayError, match=rf"kind that is not supported \({named}\)"):
        open_http(server.url("a:b@"))


def test_a_challenge_that_is_outdated_is_answered_anew(serve: Serve, jpegs: list[bytes]) -> None:
    """Cameras that give each nonce a few milliseconds; but not for ever."""
    tries = 2
    server: WireServer

    def answer(request: str) -> Iterable[bytes]:
        if len(server.requests) > tries:
            return stream(*jpegs)(request)
        nonce = f"nonce={len(server.requests)}, stale=TRUE"
        return [f"HTTP/1.1 401 No\r\nWWW-Authenticate: Digest {nonce}\r\n\r\n".encode()]

    server = serve(answer)
    assert first(open_http(server.url("a:b@"))) is not None
    tries = 9
    server = serve(answer)
    with pytest.raises(SourceAwayError, match="refuses the user name or the password"):
        open_http(server.url("a:b@"))


def test_the_digests_of_rfc_7616(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its example 3.9.1, with the client's nonce of that example."""
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    monkeypatch.setattr("secrets.token_hex", lambda _: cnonce)
    asked = {
        "realm": "http-auth@example.org",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    }
    asked |= {"qop": "auth, auth-int", "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"}
    for algorithm, response in (
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
    ):
        challenge = DigestChallenge({**asked, "algorithm": algorithm})
        answer = challenge.answer("Mufasa", "Circle of Life", "/dir/index.html")
        assert f'response="{response}"' in answer


def test_a_redirect_on_the_same_host_keeps_the_log_in(serve: Serve, jpegs: list[bytes]) -> None:
    def cameras_answer(request: str) -> Iterable[bytes]:
        if header(request, "Authorization"):
            return stream(*jpegs)(request)
        return [b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\n\r\n']

    camera = serve(cameras_answer)
    front = serve(lambda request: [f"HTTP/1.1 307 X\r\nLocation: {camera.url()}\r\n\r\n".encode()])
    assert first(open_http(front.url("me:secret@"))) is not None
    elsewhere = front.url("me:secret@").replace("127.0.0.1", "localhost")
    with pytest.raises(SourceAwayError, match="asks for a user name and password"):
        open_http(elsewhere)


def test_challenges_are_parsed() -> None:
    assert parse_challenges(['Digest a="x, \\"y\\"",B = c , Basic', " , NTLM  Zm9v=="]) == [
        ("digest", {"a": 'x, "y"', "b": "c"}),
        ("basic", {}),
        ("ntlm", {"zm9v": "="}),
    ]


def test_what_cameras_say_is_cleaned() -> None:
    assert cleaned("a\x1b[31m\r\nb\u2028c" + "x" * 500) == ("a [31m b c" + "x" * 70)[:80] + "…"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a camera's self-made certificate, with its key."""
    path = tmp_path_factory.mktemp("tls") / "cam.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        [
            *command,
            "-subj",
            "/CN=camera",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            f"{path}.key",
            "-out",
            path,
        ],
        check=True,
        capture_output=True,
    )
    return path


def test_a_self_made_certificate_needs_its_fingerprint(
    serve: Serve, jpegs: list[bytes], certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, f"{certificate}.key")
    server = serve(stream(*jpegs), tls=context)
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    fingerprint = hashlib.sha256(der).hexdigest()
    with pytest.raises(SourceAwayError, match=f"set camera.tls_verify to its.* {fingerprint}$"):
        open_http(server.url())
    with_colons = ":".join(fingerprint[n : n + 2].upper() for n in range(0, 64, 2))
    for verify in (fingerprint, with_colons, False):
        assert first(open_http(server.url(), tls_verify=verify)) is not None
    with pytest.raises(SourceAwayError, match=f"camera.tls_verify: {fingerprint}$"):
        open_http(server.url(), tls_verify="0" * 64)


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


def test_the_certificate_of_other_video_is_checked(
    serve: Serve, media_dir: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = (media_dir / "signing-bird.mkv").read_bytes()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, f"{certificate}.key")
    head = OK + b"Content-Type: video/x-matroska\r\n\r\n"
    address = parse_address(serve(lambda request: [head + clip], tls=context).url())
    with pytest.raises(SourceAwayError, match="does not answer with a video stream"):
        NetworkVideo(address, timeout_s=10, tls_verify=True)
    NetworkVideo(address, timeout_s=10, tls_verify=False).close()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    NetworkVideo(address, timeout_s=10, tls_verify=True).close()


def test_a_user_name_and_password_of_a_public_camera(server: MjpegServer) -> None:
    server.user = "viewer:secret"
    assert first(opener(server.url)()) is not None
