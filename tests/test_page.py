"""The page in a real Chromium, against a real server with made-up views."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from edge_daemon.latest import Latest
from edge_daemon.types import Frame, View
from edge_daemon.web import WebServer

playwright = pytest.importorskip(
    "playwright.sync_api", reason="NOT TESTED: the page needs `pip install playwright`"
)

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
GRAY_OF_PICTURE = """() => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d");
    context.drawImage(document.getElementById("picture"), 0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data[0];
}"""


def face(number: int, label: str, score: float) -> dict[str, object]:
    scores = dict.fromkeys(LABELS, (1 - score) / 6) | {label: score}
    return {"id": number, "label": label, "score": score, "scores": scores, "since_s": 75.0}


def event(kind: str, **fields: object) -> dict[str, object]:
    return {"time": "2025-03-04T05:06:07.250Z", "type": kind, **fields}


def free_port() -> int:
    """A port to listen on twice in turn; the kernel gives one asked for as 0 back only later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Daemon:
    """A web server whose pictures get brighter with `level`, until it is stopped."""

    port: int = field(default_factory=free_port)
    level: int = 0
    camera: dict[str, object] = field(default_factory=dict)
    faces: list[dict[str, object]] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.camera = {"name": "Door", "source": "/dev/video0", "state": "ok", "notice": ""}
        self._views: Latest[View] = Latest()
        self._ended = threading.Event()
        self._feeder = threading.Thread(target=self._feed)
        self._started_s = time.monotonic()
        self._server = WebServer(
            host="127.0.0.1",
            port=self.port,
            max_viewers=4,
            views=self._views,
            state=self._state,
            healthy=lambda: (True, ""),
            metrics=lambda: (b"", "text/plain"),
            on_failure=self._failed,
        )
        self._server.start()
        self._feeder.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def viewers(self) -> int:
        return self._server.viewers

    def stop(self) -> None:
        self._ended.set()
        self._feeder.join()
        self._server.stop()

    def _feed(self) -> None:
        number = 0
        while not self._ended.wait(0.05):
            number += 1
            bgr = np.full((120, 160, 3), self.level, np.uint8)
            self._views.put(View(Frame(number, bgr, time.monotonic(), datetime.now(UTC))))

    def _state(self) -> dict[str, object]:
        return {
            "version": "0.0",
            "camera": self.camera,
            "model": {"name": "small", "sha256": "0123456789abcdef", "labels": list(LABELS)},
            "detector": "blazeface",
            "runtime": "litert",
            "fps": 12.34,
            "latency_ms": 20.0,
            "viewers": self.viewers,
            "uptime_s": time.monotonic() - self._started_s,
            "faces": self.faces,
            "events": self.events,
        }

    def _failed(self, error: BaseException) -> None:
        raise error


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("NOT TESTED: the page needs chromium on the PATH")
    with playwright.sync_playwright() as engines:
        browser = engines.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, daemon: Daemon) -> Iterator[Any]:
    """The daemon's page, which must neither ask elsewhere nor complain."""
    page = chromium.new_page(viewport={"width": 1200, "height": 800})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(daemon.url)
    page.wait_for_selector("#pill[data-state=ok]")
    yield page
    page.close()
    assert [url for url in asked if not url.startswith(daemon.url)] == []
    assert complaints == []


def wait_for_gray(page: Any, low: int, high: int) -> None:
    page.wait_for_function(
        f"() => {{ const gray = ({GRAY_OF_PICTURE})(); return {low} <= gray && gray <= {high}; }}"
    )


def texts(page: Any, selector: str) -> list[str]:
    found: list[str] = page.locator(selector).all_inner_texts()
    return found


def test_the_picture_moves(page: Any, daemon: Daemon) -> None:
    for level in (200, 60):
        daemon.level = level
        wait_for_gray(page, level - 4, level + 4)


def test_the_status_names_the_parts(page: Any) -> None:
    assert page.title() == "Door · Mien"
    for value in ("12.3 fps", "20 ms", "/dev/video0", "small (01234567)", "blazeface", "litert"):
        assert value in texts(page, "#facts dd")


def test_cards_follow_the_faces(page: Any, daemon: Daemon) -> None:
    assert page.is_visible("#no-faces")
    daemon.faces = [face(3, "happy", 0.82), face(4, "sad", 0.4)]
    page.wait_for_selector(".card[data-face='4']")
    assert texts(page, ".card .label") == ["Happy", "Sad"]
    card = page.locator(".card[data-face='3']")
    assert card.locator(".name").all_inner_texts() == list(LABELS)
    assert card.locator(".top-score").inner_text().split() == ["happy", "82%"]
    assert card.locator(".meta").inner_text() == "Face 3 · for 1\u00a0min\u00a015\u00a0s"
    assert page.is_hidden("#no-faces")
    daemon.faces = [{**face(4, "sad", 0.4), "label": "uncertain"}]
    page.wait_for_selector(".card[data-face='3']", state="detached")
    page.wait_for_selector(".card[data-face='4'][data-label=uncertain]")
    assert page.locator(".card").count() == 1


def test_events_are_told_and_never_become_markup(page: Any, daemon: Daemon) -> None:
    daemon.camera["name"] = "<img src=x onerror=alert(1)>"
    daemon.events = [
        event("expression_change", face=3, label="happy", previous="sad", score=0.914),
        event("face_end", face=2, duration_s=12.5),
        event("<b>new</b>"),
    ]
    page.wait_for_selector("#events li")
    assert texts(page, "#events li span:last-child") == [
        "Face 3: sad → happy (91%)",
        "Face 2 left after 12\u00a0s",
        "<b>new</b>",
    ]
    page.wait_for_function("document.title.startsWith('<img')")
    assert page.locator("#camera-name *, #events b").count() == 0


def test_a_lost_camera_is_announced_until_it_is_back(page: Any, daemon: Daemon) -> None:
    assert page.is_hidden("#banner")
    daemon.camera |= {"state": "lost", "notice": "/dev/video0 is gone."}
    page.wait_for_selector("#banner", state="visible")
    assert page.inner_text("#banner") == "Camera lost. /dev/video0 is gone."
    assert page.inner_text("#pill") == "Camera lost"
    daemon.camera |= {"state": "ok", "notice": ""}
    page.wait_for_selector("#banner", state="hidden")


def test_a_daemon_that_comes_back_is_found_again(page: Any, daemon: Daemon) -> None:
    daemon.stop()
    page.wait_for_selector("#pill[data-state=gone]")
    assert "does not answer" in page.inner_text("#banner")
    again = Daemon(port=daemon.port, level=150)
    try:
        page.wait_for_selector("#pill[data-state=ok]")
        assert page.is_hidden("#banner")
        wait_for_gray(page, 146, 154)
    finally:
        again.stop()


def test_a_picture_that_stands_still_is_asked_for_anew(page: Any, daemon: Daemon) -> None:
    """A browser does not tell a page that a stream has ended."""
    with page.expect_request("**/stream.mjpg?t=*"):
        daemon.level = 90
    wait_for_gray(page, 86, 94)


@pytest.mark.parametrize("width", [320, 390, 800])
def test_nothing_is_wider_than_the_screen(page: Any, daemon: Daemon, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    daemon.camera |= {"state": "lost", "notice": "/dev/" + "v4l" * 40, "name": "camera " * 12}
    daemon.faces = [face(3, "surprise", 0.82)]
    daemon.events = [event("expression_start", face=3, label="surprise", score=0.82)] * 30
    page.wait_for_selector(".card")
    page.wait_for_selector("#banner", state="visible")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_disclosure_is_in_view_at_once(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 700})
    place = page.locator(".disclosure").bounding_box()
    assert place["y"] + place["height"] < 300
    assert "Automated expression analysis is running" in page.inner_text(".disclosure")


def test_a_closed_page_leaves_no_viewer(chromium: Any, daemon: Daemon) -> None:
    page = chromium.new_page()
    page.goto(daemon.url)
    page.wait_for_selector("#pill[data-state=ok]")
    page.close()
    deadline = time.monotonic() + 30
    while daemon.viewers:
        assert time.monotonic() < deadline, "the viewer's place was not given back"
        time.sleep(0.05)
