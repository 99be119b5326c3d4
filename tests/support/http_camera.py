"""HTTP cameras for tests: their pictures, their answers, and a client that opens them.

The fixtures are known to all tests: `tests/conftest.py` names this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from edge_daemon.capture.opener import source_opener
from edge_daemon.capture.sources import Source
from edge_daemon.core.types import ImageBgr
from support.mjpeg_server import MjpegServer, demo_jpegs
from support.wire_server import Answer, WireServer

MULTIPART = b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n"
OK = b"HTTP/1.0 200 OK\r\n"
Serve = Callable[..., WireServer]


@pytest.fixture(scope="session")
def jpegs() -> list[bytes]:
    """Return six different pictures of 320×240 pixels."""
    return demo_jpegs(320, 240, 6)


@pytest.fixture
def mjpeg_server(jpegs: list[bytes]) -> Iterator[MjpegServer]:
    """Yield a camera that sends `jpegs` in a loop."""
    server = MjpegServer(jpegs)
    yield server
    server.stop()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Yield a function that starts a server, which answers the bytes it is given."""
    started: list[WireServer] = []

    def start(answer: Answer, **tls: Any) -> WireServer:
        started.append(WireServer(answer, **tls))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def stream(*jpegs: bytes, head: bytes = OK + MULTIPART + b"\r\n") -> Answer:
    """Return the answer of a camera that sends each picture once."""

    def answer(request: str) -> Iterable[bytes]:
        yield head
        for jpeg in jpegs:
            yield b"--frame\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(jpeg), jpeg)

    return answer


def open_http(
    url: str, *, timeout_s: float = 5.0, fps: float = 30.0, tls_verify: bool | str = True
) -> Source:
    """Open the camera at `url`."""
    source = source_opener(
        url,
        width=320,
        height=240,
        fps=fps,
        loop=False,
        timeout_s=timeout_s,
        tls_verify=tls_verify,
    )
    return source()


def first(source: Source) -> ImageBgr | None:
    """Return the first picture; the source is closed."""
    try:
        image = source.read()
    finally:
        source.close()
    return None if image is None else image.picture.bgr
