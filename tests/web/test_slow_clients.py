"""Viewers with a slow link, and clients that stall."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.pictures import decoded
from support.waiting import until
from support.website import CAPTURED_AT, Readable, Site, noise, read_part, served

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Frame, View
from edge_daemon.web.server import handler

LINK_BYTES_S = 50_000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, numbered(1)) as site:
        yield site


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut stalled clients off after a second instead of five."""
    monkeypatch.setattr(handler, "STALLED_S", 1.0)
    monkeypatch.setattr(handler, "HEADER_S", 1.0)


def numbered(number: int) -> View:
    """Return a large picture of noise; `number`, 0 to 255, is at its top as two gray levels."""
    bgr = noise(0).frame.bgr.copy()
    bgr[:64, :320], bgr[:64, 320:] = number // 16 * 16, number % 16 * 16
    return View(Frame(number, Picture(bgr), time.monotonic(), CAPTURED_AT))


def next_number(stream: Readable) -> int:
    """Return the number drawn in the next picture."""
    bgr = decoded(read_part(stream)[1])
    high, low = (round(float(np.median(half)) / 16) for half in (bgr[:48, :304], bgr[:48, 336:]))
    return 16 * high + low


class SlowLink:
    """Reads from `connection` at LINK_BYTES_S; for read_part()."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        return self._take(size)

    def readline(self) -> bytes:
        while b"\n" not in self._received:
            self._receive()
        return self._take(self._received.index(b"\n") + 1)

    def _receive(self) -> None:
        data = self._connection.recv(2048)
        assert data, "the server has closed the connection"
        self._received += data
        time.sleep(len(data) / LINK_BYTES_S)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken


def test_a_slow_viewer_gets_no_backlog_and_does_not_slow_others(site: Site) -> None:
    """One picture fills its link; the next one it gets is the newest."""
    views = [numbered(number) for number in range(2, 14)]
    with site.connect() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.sendall(b"GET /stream?quality=95 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        reader = slow.makefile("rb")
        while reader.readline() != b"\r\n":
            pass
        fast_got: list[int] = []
        slow_got: list[int] = []
        with site.watch("/stream?quality=10") as fast:
            read_part(fast)
            for each in views:
                site.views.put(each)
                fast_got.append(next_number(fast))
        while not slow_got or slow_got[-1] != 13:
            slow_got.append(next_number(reader))
        reader.close()
    assert fast_got == list(range(2, 14))
    assert len(slow_got) <= 3  # the first, the one in transit, the newest


def test_a_slow_link_is_a_picture_behind_at_most(site: Site) -> None:
    """A picture has some 30 KB; the link carries one of ten, and a fast viewer gets all.

    Each picture it gets is at least as new as the newest one when the one before began to arrive.
    """
    numbers = range(2, 47)
    newest = 1
    slow_got: list[tuple[int, int]] = []  # and the newest picture when it began to arrive
    ended = threading.Event()

    def watch_slowly(link: socket.socket) -> None:
        reader = SlowLink(link)
        while reader.readline() != b"\r\n":
            pass
        while not ended.is_set():
            before = newest
            slow_got.append((next_number(reader), before))

    fast_got = []
    with socket.socket() as link, site.watch("/stream?quality=10") as fast:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        link.connect(("127.0.0.1", site.server.port))
        link.sendall(b"GET /stream?quality=10 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        watcher = threading.Thread(target=watch_slowly, args=(link,))
        watcher.start()
        read_part(fast)
        for newest in numbers:
            site.views.put(numbered(newest))
            fast_got.append(next_number(fast))
            time.sleep(1 / 15)
        ended.set()
        watcher.join()
    assert fast_got == list(numbers)
    assert len(slow_got) >= 3
    for (_, before), (number, _) in pairwise(slow_got):
        assert number >= before


@pytest.mark.usefixtures("impatient")
def test_a_viewer_that_never_reads_and_half_a_request_are_cut_off(site: Site) -> None:
    with site.connect() as viewer, site.connect() as half:
        half.sendall(b"GET / HTTP/1.1\r\nHost:")
        viewer.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        until(lambda: site.server.viewers == 1)
        for number in range(400):
            site.views.put(noise(number % 3))
            time.sleep(0.02)
            if site.server.viewers == 0:
                break
        until(lambda: site.server.viewers == 0)
        assert half.recv(100) == b""


@pytest.mark.usefixtures("impatient")
def test_a_slow_client_gets_all_of_a_long_answer(site: Site) -> None:
    """It reads steadily, but takes longer than the time limit of a stalled client."""
    for number in range(300):
        site.happens("face_start", face=number)
    site.until_logged(300)
    received = bytearray()
    with site.connect() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        slow.sendall(b"GET /events?limit=300 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        while not received.endswith(b'"next": null}\n'):
            received += slow.recv(4000)
            time.sleep(0.1)
    assert received.count(b"face_start") == 300


def stopped_promptly(site: Site) -> bool:
    stopper = threading.Thread(target=site.stop)
    stopper.start()
    stopper.join(4.0)  # less than a stalled client's time limit
    return not stopper.is_alive()


def test_stopping_does_not_wait_for_viewers(site: Site) -> None:
    with site.connect() as stalled, site.connect() as half, site.watch() as reads:
        stalled.sendall(b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        half.sendall(b"GET /stream HT")
        until(lambda: site.server.viewers == 2)
        read_part(reads)
        for number in range(40):  # more than socket buffers hold
            site.views.put(noise(number % 3))
            time.sleep(0.02)
        assert stopped_promptly(site)


@pytest.mark.usefixtures("impatient")
def test_readers_of_events_that_stall_are_cut_off_without_a_traceback(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    def has_place() -> bool:
        with suppress(AssertionError), site.watch("/events", Accept="text/event-stream"):
            return True
        return False

    site.facts["padding"] = "x" * 1_000_000  # fills every buffer
    with site.camera_running(), ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(site.connect())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /events?live=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            client.sendall(b"Accept: text/event-stream\r\n\r\n")
            until(lambda client=client: select.select([client], [], [], 0)[0])  # type: ignore[misc]
        assert not has_place()
        until(has_place)
    assert "Traceback" not in capfd.readouterr().err
