"""web: a real server on a free port, and real clients of several kinds."""

from __future__ import annotations

import json
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from io import BufferedReader

import cv2
import numpy as np
import pytest

from edge_daemon.latest import Closed, Latest
from edge_daemon.mjpeg import BOUNDARY, JpegFeed, Viewers
from edge_daemon.types import Box, Face, Frame, View
from edge_daemon.web import WebServer

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CAPTURED_AT = datetime(2025, 3, 4, 5, 6, 7, 250_000, tzinfo=UTC)
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"
DEADLINE_S = 30.0


def view(number: int, size: tuple[int, int] = (160, 120)) -> View:
    """A view of one flat gray level, which tells it from its neighbours."""
    width, height = size
    bgr = np.full((height, width, 3), number * 40 % 256, np.uint8)
    face = Face(1, Box(40, 40, 30, 30), "", 0.0, (), since_s=0.0)
    return View(Frame(number, bgr, time.monotonic(), CAPTURED_AT), (face,))


def noise(number: int) -> View:
    """A view that compresses badly: a quarter of a megabyte or more."""
    bgr = np.random.default_rng(number).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    return View(Frame(number, bgr, time.monotonic(), CAPTURED_AT))


def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`; fails when it does not come about."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


class Site:
    """A web server with made-up views, and what it was told."""

    def __init__(self, *, port: int = 0, max_viewers: int = 3) -> None:
        self.views: Latest[View] = Latest()
        self.state: dict[str, object] = {"version": "0", "faces": []}
        self.health = (True, "frames arrive")
        self.failures: list[BaseException] = []
        self.server = WebServer(
            host="127.0.0.1",
            port=port,
            max_viewers=max_viewers,
            views=self.views,
            state=lambda: self.state,
            healthy=lambda: self.health,
            metrics=lambda: (b"mien_up 1\n", "text/plain; version=0.0.4"),
            on_failure=self.failures.append,
        )

    def get(self, path: str, method: str = "GET", user_agent: str = "test") -> HTTPResponse:
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=DEADLINE_S)
        connection.request(method, path, headers={"User-Agent": user_agent, "Connection": "close"})
        return connection.getresponse()

    @contextmanager
    def watch(self, path: str = "/stream.mjpg", user_agent: str = "test") -> Iterator[HTTPResponse]:
        with closing(self.get(path, user_agent=user_agent)) as response:
            assert response.status == 200
            yield response

    def until_watched_by(self, count: int) -> None:
        """Wait for so many viewers; that one has left shows when a picture is sent to it."""

        def watched() -> bool:
            self.views.put(view(1))
            return self.server.viewers == count

        until(watched)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), DEADLINE_S)


@pytest.fixture
def site() -> Iterator[Site]:
    threads = set(threading.enumerate())
    site = Site()
    site.server.start()
    site.views.put(view(1))
    yield site
    site.server.stop()
    assert set(threading.enumerate()) <= threads
    assert site.server.viewers == 0


def read_part(stream: BufferedReader | HTTPResponse) -> tuple[Message, bytes]:
    """The next part of a stream by its Content-Length, as strict clients read it."""
    assert stream.readline() == f"--{BOUNDARY}\r\n".encode()
    headers = Message()
    while (line := stream.readline()) != b"\r\n":
        name, _, value = line.decode().partition(":")
        headers[name] = value.strip()
    jpeg = stream.read(int(headers["Content-Length"]))
    assert stream.read(2) == b"\r\n"
    return headers, jpeg


def level(jpeg: bytes) -> int:
    """The gray level of a picture of `view()`."""
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    assert bgr.shape == (120, 160, 3)
    return int(np.median(bgr))


def test_the_page_comes_with_security_headers_and_no_inline_code(site: Site) -> None:
    response = site.get("/")
    page = response.read().decode()
    assert response.status == 200
    assert "Automated expression analysis is running" in page
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?://", page)


def test_all_that_the_page_names_is_there(site: Site) -> None:
    page = site.get("/").read().decode()
    named = set(re.findall(r'(?:src|href)="([^"]+)"', page)) - {"stream.mjpg"}
    assert len(named) == 3
    for path in named:
        response = site.get(f"/{path}")
        assert response.status == 200
        body = response.read().decode().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in body.replace("https://jfly", "")


@pytest.mark.parametrize("path", ["/stream.mjpg", "/stream", "/?action=stream"])
def test_a_stream_is_plain_multipart_with_lengths_and_times(site: Site, path: str) -> None:
    with site.watch(path) as response:
        assert response.headers["Content-Type"] == (
            f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        )
        assert response.headers["Transfer-Encoding"] is None
        assert response.headers["Cache-Control"] == "no-store"
        headers, jpeg = read_part(response)
        assert headers["Content-Type"] == "image/jpeg"
        assert float(headers["X-Timestamp"]) == CAPTURED_AT.timestamp()
        assert float(headers["X-Sent-Timestamp"]) > CAPTURED_AT.timestamp()
        assert level(jpeg) == pytest.approx(40, abs=2)
        site.views.put(view(2))
        assert level(read_part(response)[1]) == pytest.approx(80, abs=2)


@pytest.mark.parametrize("path", ["/snapshot.jpg", "/snapshot", "/?action=snapshot"])
def test_a_snapshot_is_the_newest_picture(site: Site, path: str) -> None:
    site.views.put(view(3))
    response = site.get(path)
    assert response.status == 200
    assert response.headers["Content-Type"] == "image/jpeg"
    assert response.headers["Cache-Control"] == "no-store"
    assert float(response.headers["X-Timestamp"]) == CAPTURED_AT.timestamp()
    assert level(response.read()) == pytest.approx(120, abs=2)


def test_opencv_reads_the_stream(site: Site) -> None:
    ended = threading.Event()

    def feed() -> None:
        number = 1
        while not ended.wait(0.02):
            number += 1
            site.views.put(view(number))

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        capture = cv2.VideoCapture(f"http://127.0.0.1:{site.server.port}/stream.mjpg")
        pictures = [capture.read()[1] for _ in range(5)]
        capture.release()
    finally:
        ended.set()
        feeder.join()
    assert all(picture.shape == (120, 160, 3) for picture in pictures)


def test_chromium_gets_the_next_headers_with_the_picture(site: Site) -> None:
    with site.watch(user_agent=CHROME) as response:
        opening = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
        assert response.read(len(opening)) == opening
        data = b""
        while not data.endswith(opening):  # comes although there is no second picture
            data += response.read1()
        assert level(data.removesuffix(b"\r\n" + opening)) == pytest.approx(40, abs=2)


def test_an_unchanged_picture_is_sent_again(site: Site) -> None:
    with site.watch() as response:
        first, second = read_part(response), read_part(response)
    assert first[1] == second[1]
    assert first[0]["X-Sent-Timestamp"] != second[0]["X-Sent-Timestamp"]


def test_a_viewer_gets_the_newest_picture_and_no_backlog() -> None:
    views: Latest[View] = Latest()
    feed = JpegFeed(views=views)
    stream = Viewers(feed=feed, limit=1).join(headers_first=False)
    assert stream is not None
    for last in (1, 5):
        for number in range(last - 1, last + 1):
            views.put(view(number))
        part = next(stream)
        jpeg = part[part.index(b"\xff\xd8") : part.rindex(b"\r\n--")]
        assert level(jpeg) == pytest.approx(last * 40, abs=2)
    feed.close()
    with pytest.raises(StopIteration):
        next(stream)


def test_readers_share_one_encoding() -> None:
    views: Latest[View] = Latest()
    feed = JpegFeed(views=views)
    views.put(view(1))
    one, other = feed.next(0, 1.0), feed.next(0, 1.0)
    assert one is not None
    assert one is other
    assert feed.next(one.seq, 0.01) is None
    feed.close()
    with pytest.raises(Closed):
        feed.next(0, 1.0)


def test_nothing_is_taken_while_nobody_watches(site: Site) -> None:
    with site.watch() as response:
        read_part(response)
    site.until_watched_by(0)
    before = site.views.overwritten
    for number in range(2, 12):
        site.views.put(view(number))
    assert site.views.overwritten >= before + 9


def test_two_watch_and_one_leaves_without_a_trace(site: Site) -> None:
    with site.watch() as stays:
        read_part(stays)
        threads = threading.active_count()
        with site.watch() as leaves:
            read_part(leaves)
            assert site.server.viewers == 2
        site.until_watched_by(1)
        site.views.put(view(2))
        until(lambda: abs(level(read_part(stays)[1]) - 80) <= 2)
        assert threading.active_count() == threads
    site.until_watched_by(0)


def test_too_many_viewers_are_told_to_come_back(site: Site) -> None:
    with site.watch(), site.watch():
        with site.watch():
            site.until_watched_by(3)
            refused = site.get("/stream.mjpg")
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.read().decode().count(".") == 1
            assert site.get("/snapshot.jpg").status == 200
        site.until_watched_by(2)
        with site.watch() as response:
            read_part(response)


def test_a_head_request_takes_no_place(site: Site) -> None:
    response = site.get("/stream.mjpg", method="HEAD")
    assert response.status == 200
    assert response.read() == b""
    until(lambda: site.server.viewers == 0)


def test_without_a_picture_there_is_a_reason(site: Site) -> None:
    site.views.close()
    for path in ("/stream.mjpg", "/snapshot.jpg"):
        response = site.get(path)
        assert response.status == 503
        assert "not delivered" in response.read().decode()


def test_the_stream_ends_when_the_views_do(site: Site) -> None:
    with site.watch() as response:
        read_part(response)
        site.views.close()
        while response.read(65536):
            pass
    until(lambda: site.server.viewers == 0)


def test_state_keeps_the_order_of_its_keys(site: Site) -> None:
    site.state = {"version": "1", "scores": dict.fromkeys(LABELS, 0.5), "name": "<b>Tür</b>"}
    response = site.get("/state")
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    state = json.loads(response.read())
    assert state == site.state
    assert list(state["scores"]) == list(LABELS)


def test_healthz_says_why(site: Site) -> None:
    response = site.get("/healthz")
    assert (response.status, response.read()) == (200, b"ok frames arrive\n")
    site.health = (False, "no frame for 5 s")
    response = site.get("/healthz")
    assert (response.status, response.read()) == (503, b"failing no frame for 5 s\n")


def test_a_failing_callback_costs_one_answer_only(site: Site) -> None:
    site.state = {"fps": float("nan")}
    assert site.get("/state").status == 500
    assert site.get("/healthz").status == 200
    assert site.failures == []


def test_what_is_not_there_is_404(site: Site) -> None:
    assert site.get("/static/../web.py").status == 404
    assert site.get("/nothing").status == 404


def test_a_viewer_that_never_reads_is_cut_off(site: Site) -> None:
    with site.connect() as client:
        client.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        until(lambda: site.server.viewers == 1)
        for number in range(400):
            site.views.put(noise(number % 3))
            time.sleep(0.02)
            if site.server.viewers == 0:
                break
        until(lambda: site.server.viewers == 0)


def stopped_promptly(site: Site) -> bool:
    stopper = threading.Thread(target=site.server.stop)
    stopper.start()
    stopper.join(4.0)  # less than a stalled client's time limit
    return not stopper.is_alive()


def test_stopping_does_not_wait_for_viewers(site: Site) -> None:
    with site.connect() as stalled, site.connect() as half, site.watch() as reads:
        stalled.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        half.sendall(b"GET /stream HT")
        until(lambda: site.server.viewers == 2)
        read_part(reads)
        for number in range(40):  # more than socket buffers hold
            site.views.put(noise(number % 3))
            time.sleep(0.02)
        assert stopped_promptly(site)


def test_stopping_twice_and_before_the_start_is_harmless() -> None:
    site = Site()
    site.server.stop()
    site = Site()
    site.server.start()
    site.server.stop()
    site.server.stop()
    assert site.failures == []


def test_a_port_in_use_is_an_error_with_its_reason(site: Site) -> None:
    second = Site(port=site.server.port)
    with pytest.raises(OSError, match="in use") as caught:
        second.server.start()
    assert caught.value.strerror == "Address already in use"


def test_a_failure_of_the_serving_thread_is_reported(site: Site) -> None:
    """The server cannot accept a connection for want of file descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno(), hard))
        try:
            client.connect(("127.0.0.1", site.server.port))
            until(lambda: bool(site.failures))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isinstance(site.failures[0], OSError)
