"""Tests the log-in at HTTP cameras: Basic, Digest, and what is not supported."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import pytest
from support.http_camera import Serve, first, open_http, stream
from support.mjpeg_server import MjpegServer
from support.wire_server import WireServer, header, is_digest_right

from edge_daemon.capture.digest import DigestChallenge
from edge_daemon.capture.login import parse_challenges
from edge_daemon.capture.sources import SourceAwayError

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


def test_a_user_name_and_password_of_a_public_camera(mjpeg_server: MjpegServer) -> None:
    mjpeg_server.user = "viewer:secret"
    assert first(open_http(mjpeg_server.url)) is not None
