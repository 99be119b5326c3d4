"""Tests requests against RFC 9112: a corpus of edge cases and of lines that hide a request.

Each case is sent as it is to a real server. The server may answer with any of the statuses that
the RFC allows here; what it must never do is to read the request otherwise than a proxy would.
"""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator

import pytest
from flask import Flask, Response, request
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.web.server.grammar import RequestHead, RequestRefused, parse_head
from edge_daemon.web.server.loop import Loop
from edge_daemon.web.server.server import HttpServer

MAX_BODY_BYTES = 1000
GET = b"GET / HTTP/1.1\r\n"
HOST = b"Host: 127.0.0.1\r\n"


def echo(path: str) -> Response:
    """Answer with what was read, and with the length of the body."""
    length = len(request.get_data())
    text = f"{request.method} /{path} {request.query_string.decode()} {request.host} {length}"
    return Response(text + "\n", mimetype="text/plain")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = Flask(__name__)
    app.add_url_rule(
        "/<path:path>", view_func=echo, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]
    )
    app.add_url_rule("/", view_func=lambda: echo(""), methods=["GET", "POST"], endpoint="root")
    failures: list[BaseException] = []
    server = HttpServer(
        app=app,
        loop=Loop(),
        host="127.0.0.1",
        port=0,
        tls=None,
        max_connections=50,
        max_body_bytes=MAX_BODY_BYTES,
        on_failure=failures.append,
    )
    server.start()
    yield server.port
    server.stop()
    assert failures == []


def answers(port: int, sent: bytes) -> list[bytes]:
    """Return the statuses of all answers to `sent`, up to the end of the connection."""
    return re.findall(rb"^HTTP/1\.1 (\d+)", everything(port, sent), re.M)


def everything(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


# --- requests that are to be served ---------------------------------------------------------------

SERVED: dict[str, tuple[bytes, str]] = {
    "plain": (GET + HOST + b"\r\n", "GET /  127.0.0.1 0"),
    "1.0 without a host": (b"GET / HTTP/1.0\r\n\r\n", "GET /  mien:"),
    "1.0 with a host": (b"GET /a HTTP/1.0\r\n" + HOST + b"\r\n", "GET /a  127.0.0.1 0"),
    "a later minor version": (b"GET / HTTP/1.9\r\n" + HOST + b"\r\n", "GET /  127.0.0.1 0"),
    "an empty line before": (b"\r\n" + GET + HOST + b"\r\n", "GET /  127.0.0.1 0"),
    "a query": (
        b"GET /a/b?c=d&e=/? HTTP/1.1\r\n" + HOST + b"\r\n", "GET /a/b c=d&e=/? 127.0.0.1 0",
    ),
    "an empty query": (b"GET /a? HTTP/1.1\r\n" + HOST + b"\r\n", "GET /a  127.0.0.1 0"),
    "sub-delimiters": (
        b"GET /a!$&'()*+,;=:@-._~ HTTP/1.1\r\n" + HOST + b"\r\n",
        "GET /a!$&'()*+,;=:@-._~  127.0.0.1 0",
    ),
    "percent-encoded": (b"GET /%41%2d HTTP/1.1\r\n" + HOST + b"\r\n", "GET /A-  127.0.0.1 0"),
    "absolute form": (
        b"GET http://10.0.0.1:81/a?b HTTP/1.1\r\n" + HOST + b"\r\n", "GET /a b 10.0.0.1:81 0",
    ),
    "absolute form without a path": (
        b"GET HTTP://10.0.0.1 HTTP/1.1\r\n" + HOST + b"\r\n", "GET /  10.0.0.1 0",
    ),
    "no blank after the colon": (GET + b"Host:127.0.0.1\r\n\r\n", "GET /  127.0.0.1 0"),
    "blanks round the value": (GET + b"Host: \t 127.0.0.1 \t \r\n\r\n", "GET /  127.0.0.1 0"),
    "a name in capitals": (GET + b"HOST: 127.0.0.1\r\n\r\n", "GET /  127.0.0.1 0"),
    "an empty value": (GET + HOST + b"X-A:\r\nX-B: \r\n\r\n", "GET /  127.0.0.1 0"),
    "every character of a name": (
        GET + HOST + b"!#$%&'*+-.^_`|~09AZaz: x\r\n\r\n", "GET /  127.0.0.1 0",
    ),
    "bytes above 127 in a value": (GET + HOST + b"X-A: \xe4\xff\r\n\r\n", "GET /  127.0.0.1 0"),
    "a tab within a value": (GET + HOST + b"X-A: a\tb\r\n\r\n", "GET /  127.0.0.1 0"),
    "a list in two lines": (
        GET + HOST + b"Accept: a/b\r\nAccept: c/d\r\n\r\n", "GET /  127.0.0.1 0",
    ),
    "an IPv6 host": (GET + b"Host: [::1]:8080\r\n\r\n", "GET /  [::1]:8080 0"),
    "a host with an empty port": (GET + b"Host: 127.0.0.1:\r\n\r\n", "GET /  127.0.0.1"),
    "an origin": (GET + HOST + b"Origin: https://a.example:8443\r\n\r\n", "GET /  127.0.0.1 0"),
    "a null origin": (GET + HOST + b"Origin: null\r\n\r\n", "GET /  127.0.0.1 0"),
    "a body": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc", "POST /  127.0.0.1 3",
    ),
    "a length with leading zeros": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0003\r\n\r\nabc", "POST /  127.0.0.1 3",
    ),
    "a length of nothing": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n", "POST /  127.0.0.1 0",
    ),
    "a body with GET": (GET + HOST + b"Content-Length: 3\r\n\r\nabc", "GET /  127.0.0.1 3"),
    "a body that looks like a request": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 20\r\n\r\nGET /x HTTP/1.1\r\n\r\n ",
        "POST /  127.0.0.1 20",
    ),
    "an upgrade that is not taken": (
        GET + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "GET /  127.0.0.1 0",
    ),
    "a WebSocket that is not taken": (
        GET + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n", "GET /  127.0.0.1 0",
    ),
    "unknown connection options": (
        GET + HOST + b"Connection: x-y, TE\r\nTE: trailers\r\n\r\n", "GET /  127.0.0.1 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVED)
def test_a_valid_request_is_read_as_it_was_meant(port: int, case: str) -> None:
    sent, expected = SERVED[case]
    received = everything(port, sent).decode()
    assert received.startswith("HTTP/1.1 200 OK\r\n"), received
    assert received.partition("\r\n\r\n")[2].startswith(expected), received
    assert received.count("HTTP/1.1 ") == 1


def test_requests_follow_one_another_on_a_connection(port: int) -> None:
    post = b"POST /b HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
    assert (
        answers(port, GET + HOST + b"\r\n" + post + b"\r\n" + GET + HOST + b"\r\n") == [b"200"] * 3
    )


@pytest.mark.parametrize("option", [b"close", b"Close", b"keep-alive, close", b"close , x"])
def test_a_connection_is_closed_when_asked_for(port: int, option: bytes) -> None:
    first = GET + HOST + b"Connection: " + option + b"\r\n\r\n"
    assert answers(port, first + GET + HOST + b"\r\n") == [b"200"]


@pytest.mark.parametrize(("option", "count"), [(b"", 1), (b"Connection: Keep-Alive\r\n", 2)])
def test_http_1_0_stays_open_only_when_asked_for(port: int, option: bytes, count: int) -> None:
    assert answers(port, (b"GET / HTTP/1.0\r\n" + option + b"\r\n") * 2)[:count] == [b"200"] * count
    assert len(answers(port, (b"GET / HTTP/1.0\r\n" + option + b"\r\n") * 2)) == count


def test_a_body_is_asked_for_when_the_client_waits(port: int) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(head)
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert b" 200 OK" in client.recv(1000)


# --- requests that are to be refused --------------------------------------------------------------


def lines(*fields: bytes, start: bytes = GET) -> bytes:
    return start + HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def start(line: bytes) -> bytes:
    return line + b"\r\n" + HOST + b"\r\n"


REFUSED: dict[str, bytes] = {
    # The request line.
    "no version": b"GET /\r\n\r\n",
    "no target": start(b"GET HTTP/1.1"),
    "only a method": b"GET\r\n\r\n",
    "two blanks": start(b"GET  / HTTP/1.1"),
    "two blanks before the version": start(b"GET /  HTTP/1.1"),
    "a tab": start(b"GET\t/ HTTP/1.1"),
    "a blank before": start(b" GET / HTTP/1.1"),
    "a blank after": start(b"GET / HTTP/1.1 "),
    "a fourth word": start(b"GET / HTTP/1.1 x"),
    "a blank in the target": start(b"GET /a b HTTP/1.1"),
    "two empty lines before": b"\r\n\r\n" + GET + HOST + b"\r\n",
    "a vertical tab": start(b"GET /\x0b HTTP/1.1"),
    "a form feed": start(b"GET /\x0c HTTP/1.1"),
    "a NUL": start(b"GET /\x00 HTTP/1.1"),
    "a DEL": start(b"GET /\x7f HTTP/1.1"),
    "a bare CR": start(b"GET /\rHTTP/1.1"),
    "a bare LF at the end": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "bare LFs throughout": b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n",
    "bare CRs throughout": b"GET / HTTP/1.1\rHost: 127.0.0.1\r\r",
    "a byte above 127": start(b"GET /\xe4 HTTP/1.1"),
    "a fragment": start(b"GET /a#b HTTP/1.1"),
    "a backslash": start(b"GET /a\\b HTTP/1.1"),
    "quotes and angles": start(b'GET /"<>" HTTP/1.1'),
    "half a percent": start(b"GET /%4 HTTP/1.1"),
    "no hexadecimal": start(b"GET /%zz HTTP/1.1"),
    "a relative target": start(b"GET a HTTP/1.1"),
    "an asterisk with GET": start(b"GET * HTTP/1.1"),
    "an authority with GET": start(b"GET a.example:80 HTTP/1.1"),
    "another scheme": start(b"GET ftp://127.0.0.1/ HTTP/1.1"),
    "an absolute form without a host": start(b"GET http:///a HTTP/1.1"),
    "an absolute form with a user": start(b"GET http://u@127.0.0.1/ HTTP/1.1"),
    "CONNECT with a path": start(b"CONNECT / HTTP/1.1"),
    "a method with a colon": start(b"GE:T / HTTP/1.1"),
    "a method in parentheses": start(b"(GET) / HTTP/1.1"),
    # The version.
    "a version in small letters": start(b"GET / http/1.1"),
    "a version of one digit": start(b"GET / HTTP/1"),
    "a version of three digits": start(b"GET / HTTP/1.10"),
    "a version with a blank": start(b"GET / HTTP/ 1.1"),
    "a version with a sign": start(b"GET / HTTP/+1.1"),
    "a version with letters": start(b"GET / HTTP/1.x"),
    "another protocol": start(b"GET / ICY/1.1"),
    # Header lines.
    "no colon": lines(b"X-A"),
    "an empty name": lines(b": x"),
    "a blank before the colon": lines(b"X-A : x"),
    "a tab before the colon": lines(b"X-A\t: x"),
    "a blank before the name": lines(b" X-A: x"),
    "a folded line": lines(b"X-A: x", b" y"),
    "a line folded with a tab": lines(b"X-A: x", b"\ty"),
    "a blank within the name": lines(b"X A: x"),
    "a control character in the name": lines(b"X\x01A: x"),
    "a byte above 127 in the name": lines(b"X\xe4: x"),
    "a parenthesis in the name": lines(b"X(A): x"),
    "a slash in the name": lines(b"X/A: x"),
    "quotes in the name": lines(b'"X": x'),
    "a NUL in the value": lines(b"X-A: a\x00b"),
    "a control character in the value": lines(b"X-A: a\x1fb"),
    "a DEL in the value": lines(b"X-A: \x7f"),
    "a bare CR in the value": lines(b"X-A: a\rb"),
    "a bare CR before the end": lines(b"X-A: a\r"),
    "a bare LF in the value": lines(b"X-A: a\nX-B: b"),
    "a bare LF at the end of the head": GET + HOST + b"\n",
    "a blank before the first field": GET + b" Host: 127.0.0.1\r\n\r\n",
    "a head that is cut off": GET + HOST,
    "a line that is cut off": GET + b"Host: 127",
    # Host and Origin.
    "no host": GET + b"\r\n",
    "two hosts": lines(b"Host: 127.0.0.1"),
    "an empty host": GET + b"Host:\r\n\r\n",
    "a host with a user": GET + b"Host: u@127.0.0.1\r\n\r\n",
    "a host with a path": GET + b"Host: 127.0.0.1/a\r\n\r\n",
    "a host with a scheme": GET + b"Host: http://127.0.0.1\r\n\r\n",
    "a host with a blank": GET + b"Host: 127.0.0.1 x\r\n\r\n",
    "two hosts in a line": GET + b"Host: 127.0.0.1, a.example\r\n\r\n",
    "a host with a byte above 127": GET + b"Host: \xe4\r\n\r\n",
    "a host with a port of letters": GET + b"Host: a:b\r\n\r\n",
    "a host with two ports": GET + b"Host: 127.0.0.1:80:81\r\n\r\n",
    "a host with a port that is too large": GET + b"Host: 127.0.0.1:65536\r\n\r\n",
    "an IPv6 host without brackets": GET + b"Host: ::1\r\n\r\n",
    "an IPv6 host with one bracket": GET + b"Host: [::1\r\n\r\n",
    "an IPv6 host that is none": GET + b"Host: [1:2]\r\n\r\n",
    "a bracket": GET + b"Host: [\r\n\r\n",
    "an origin without a scheme": lines(b"Origin: a.example"),
    "an origin with a path": lines(b"Origin: http://a.example/"),
    "an origin with a user": lines(b"Origin: http://u@a.example"),
    "an empty origin": lines(b"Origin:"),
    "two origins": lines(b"Origin: http://a.example", b"Origin: http://b.example"),
    "two origins in a line": lines(b"Origin: http://a.example http://b.example"),
    # Fields that have one value.
    "two types": lines(b"Content-Type: a/b", b"Content-Type: c/d"),
    "two authorizations": lines(b"Authorization: Bearer a", b"Authorization: Bearer b"),
}

# With the status that the RFC asks for in place of 400.
REFUSED_OTHERWISE: dict[str, tuple[bytes, bytes]] = {
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"505"),
    "HTTP/0.9": (start(b"GET / HTTP/0.9"), b"505"),
    "HTTP/3": (start(b"GET / HTTP/3.0"), b"505"),
    "an unknown method": (start(b"BREW / HTTP/1.1"), b"501"),
    "a method in small letters": (start(b"get / HTTP/1.1"), b"501"),
    "CONNECT": (start(b"CONNECT a.example:443 HTTP/1.1"), b"501"),
    "another expectation": (lines(b"Expect: x"), b"417"),
    "a long target": (start(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), b"414"),
    "a long line": (lines(b"X-A: " + b"a" * 40_000), b"431"),
    "many lines": (lines(*[b"X-A: a"] * 200), b"431"),
    "a long body": (lines(b"Content-Length: 1001", start=b"POST / HTTP/1.1\r\n"), b"413"),
    "chunks": (lines(b"Transfer-Encoding: chunked"), b"411"),
    "compressed chunks": (lines(b"Transfer-Encoding: gzip, chunked"), b"501"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_malformed_request_is_refused(port: int, case: str) -> None:
    assert answers(port, REFUSED[case] + GET + HOST + b"\r\n") == [b"400"]


@pytest.mark.parametrize("case", REFUSED_OTHERWISE)
def test_what_is_not_supported_is_refused(port: int, case: str) -> None:
    sent, status = REFUSED_OTHERWISE[case]
    assert answers(port, sent + GET + HOST + b"\r\n") == [status]


# --- smuggling ------------------------------------------------------------------------------------

HIDDEN = b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(HIDDEN)
# Each stands before the length. If it ended the head, HIDDEN would be a request of its own.
SMUGGLING: dict[str, bytes] = {
    "no colon": b"X\r\n",
    "a blank before": b" X: y\r\n",
    "a tab before": b"\tX: y\r\n",
    "a blank before the colon": b"X : y\r\n",
    "only a blank": b" \r\n",
    "only a colon": b":\r\n",
    "only a CR": b"\r\r\n",
    "a bare CR": b"X: y\rZ: z\r\n",
    "a bare LF": b"X: y\n",
    "an empty line with a bare LF": b"\n",
    "LF CR": b"X: y\n\r",
    "a NUL": b"X\x00: y\r\n",
    "a control character": b"\x01X: y\r\n",
    "a byte above 127": b"\xffX: y\r\n",
    "a next line character": b"X: y\xc2\x85\r\n\x85: z\r\n",
    "a vertical tab": b"X\x0b: y\r\n",
    "a form feed": b"\x0cX: y\r\n",
    "a folded line": b"X: y\r\n z\r\n",
    "a second length": b"Content-Length: 0\r\n",
    "the same length again": LENGTH,
    "a length with a blank before": b" Content-Length: 0\r\n",
    "a length with a plus": b"Content-Length: +0\r\n",
    "a list of lengths": b"Content-Length: 0, 0\r\n",
    "a coding": b"Transfer-Encoding: chunked\r\n",
    "a coding with a blank before the colon": b"Transfer-Encoding : chunked\r\n",
    "a coding behind a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "the identity coding": b"Transfer-Encoding: identity\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "a coding in quotes": b'Transfer-Encoding: "chunked"\r\n',
    "a coding that is not last": b"Transfer-Encoding: chunked, identity\r\n",
    "a coding twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("case", SMUGGLING)
def test_no_request_hides_in_anothers_body(port: int, case: str, method: bytes) -> None:
    head = method + b" / HTTP/1.1\r\n" + HOST + SMUGGLING[case] + LENGTH + b"\r\n"
    received = everything(port, head + HIDDEN)
    assert re.findall(rb"^HTTP/1\.1 (\d+)", received, re.M) in ([b"400"], [b"411"])
    assert b"/hidden" not in received


@pytest.mark.parametrize(
    "length",
    [
        b"+3",
        b"-3",
        b"3_0",
        b"0x3",
        b"3.0",
        b"3 3",
        b"3,3",
        b"",
        b"\xb2",
        b"3;",
        b'"3"',
        b"1e1",
        b"9" * 30,
    ],
)
def test_a_length_is_digits(port: int, length: bytes) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + length + b"\r\n\r\n"
    assert answers(port, head + b"abc" + HIDDEN) == [b"400"]


def test_a_body_that_nobody_reads_is_not_the_next_request(port: int) -> None:
    head = b"POST /nothing/ HTTP/1.1\r\n" + HOST + LENGTH + b"Expect: 100-continue\r\n\r\n"
    delete = head.replace(b"POST", b"OPTIONS")
    assert answers(port, delete + HIDDEN)[-1:] == [b"200"]
    assert b"/hidden" not in everything(port, delete + HIDDEN)


# --- fuzzing --------------------------------------------------------------------------------------

SEEDS = [*(sent for sent, _ in SERVED.values()), *REFUSED.values()]
PIECES = [
    b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b"\0", b"\x0b", b"\xff", b"%00", b"%", b"?", b"#",
    b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: a\r\n", b"HTTP/1.1",
    b"@", b"[", b"]", b"//",
]  # fmt: skip


def well_formed(head: RequestHead) -> bool:
    """Return whether nothing in `head` could be read as another request, or split a line."""
    texts = [
        head.method,
        head.path,
        head.query,
        head.host,
        *(v for pair in head.fields for v in pair),
    ]
    return not any(set(text) & {"\r", "\n", "\0"} for text in texts) and " " not in head.path


@given(st.binary(max_size=200) | st.lists(st.sampled_from(PIECES + SEEDS)).map(b"".join))
def test_any_bytes_are_a_request_or_refused(sent: bytes) -> None:
    try:
        head = parse_head(sent.partition(b"\r\n\r\n")[0].splitlines(keepends=True) or [b""])
    except RequestRefused as refused:
        assert refused.status[:3].isdecimal()
        assert str(refused).endswith(".")
    else:
        assert well_formed(head)


def test_a_mangled_request_never_becomes_two(port: int) -> None:
    chance = random.Random(16)
    for _ in range(150):
        sent = bytearray(chance.choice(SEEDS))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(sent) + 1)
            sent[place : place + chance.choice([0, 0, 1, 4])] = chance.choice(PIECES)
        before_body = bytes(sent).partition(b"\r\n\r\n")[0]
        received = everything(port, before_body + b"\r\n\r\n")
        assert len(re.findall(rb"^HTTP/1\.1 (?!100)", received, re.M)) <= 1 + before_body.count(
            b"\r\n\r\n"
        )
        assert b" 500 " not in received
