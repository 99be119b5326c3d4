"""The page in a real Chromium, served by a real server with synthetic views."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.axe import axe_finds
from support.labels import LABELS
from support.ports import free_port
from support.waiting import until
from support.website import Site, face

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Frame, View
from edge_daemon.web.credentials import hash_token

TOKEN = "for the tests of the page"  # noqa: S105
GRAY_OF_PICTURE = """() => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d");
    context.drawImage(document.getElementById("picture"), 0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data[0];
}"""


class Daemon(Site):
    """A site that shows pictures of the gray `level` until it is stopped."""

    def __init__(self, folder: Path, *, port: int = 0, level: int = 0, token: str = "") -> None:
        super().__init__(folder, port=port or free_port(), max_viewers=6, token=token)
        self.level = level
        self._running = ExitStack()

    def start(self) -> None:
        super().start()
        self._running.enter_context(self.camera_running(fps=20))

    def stop(self) -> None:
        self._running.close()
        super().stop()

    def next_view(self, number: int, size: tuple[int, int]) -> View:
        bgr = np.full((*size[::-1], 3), self.level, np.uint8)
        return View(Frame(number, Picture(bgr), time.monotonic(), datetime.now(UTC)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def page(chromium: Any, daemon: Daemon) -> Iterator[Any]:
    """The daemon's page; fails if it requests anything from elsewhere or raises an error."""
    page = chromium.new_page(viewport={"width": 1200, "height": 800})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(daemon.url)
    page.wait_for_selector("#pill[data-state=ok]")
    yield page
    page.close()
    elsewhere = [url for url in asked if not url.startswith((daemon.url, "data:", "blob:"))]
    assert elsewhere == []
    assert complaints == []


def wait_for_gray(page: Any, low: int, high: int) -> None:
    page.wait_for_function(
        f"() => {{ const gray = ({GRAY_OF_PICTURE})(); return {low} <= gray && gray <= {high}; }}"
    )


def texts(page: Any, selector: str) -> list[str]:
    found: list[str] = page.locator(selector).all_inner_texts()
    return found


def lively(daemon: Daemon) -> None:
    """Show two faces, and log some events."""
    now = datetime.now(UTC)
    daemon.happens("expression_start", now - timedelta(minutes=8), face=1, label="sad", score=0.6)
    daemon.happens(
        "expression_change", now - timedelta(seconds=181), face=1, label="happy", previous="sad",
        score=0.9, duration_s=300.0,
    )  # fmt: skip
    daemon.happens("expression_start", now - timedelta(minutes=1), face=2, label="fear", score=0.5)
    daemon.happens("expression_end", now, face=2, label="fear", score=0.5, duration_s=60.0)
    daemon.until_logged(4)
    daemon.seen = [face(1, "happy", 0.9), face(2, "uncertain", 0.3)]


def test_the_picture_moves(page: Any, daemon: Daemon) -> None:
    for level in (200, 60):
        daemon.level = level
        wait_for_gray(page, level - 4, level + 4)


def test_the_status_names_the_parts(page: Any) -> None:
    assert page.title() == "Door · Mien"
    shown = set(texts(page, "#facts dd"))
    assert {"12.3 fps", "20 ms", "52 °C", "under voltage", "/dev/video0"} <= shown
    assert {"small (01234567)", "blazeface"} <= shown


def test_cards_follow_the_faces(page: Any, daemon: Daemon) -> None:
    assert page.is_visible("#no-faces")
    daemon.seen = [face(3, "happy", 0.82), face(4, "sad", 0.4)]
    page.wait_for_selector(".card[data-face='4']")
    assert texts(page, "#faces .label") == ["Happy", "Sad"]
    card = page.locator(".card[data-face='3']")
    assert card.locator(".hint").is_hidden()
    assert card.locator(".name").all_inner_texts() == list(LABELS)
    assert card.locator(".top-score").inner_text().split() == ["happy", "82%"]
    meta = "Face 3 · for 1\u00a0min\u00a015\u00a0s · detection 91%"
    assert card.locator(".meta").inner_text() == meta
    assert page.is_hidden("#no-faces")
    daemon.seen = [{**face(4, "sad", 0.4), "label": "uncertain"}]
    page.wait_for_selector(".card[data-face='3']", state="detached")
    page.wait_for_selector(".card[data-face='4'][data-label=uncertain]")
    assert page.inner_text(".card .hint") == "No expression is clear enough."
    assert page.locator(".card").count() == 1


def test_boxes_can_be_drawn_in_the_browser(page: Any, daemon: Daemon) -> None:
    daemon.seen = [face(3, "happy", 0.82)]
    page.wait_for_selector(".card")
    with page.expect_request("**/stream.mjpg?overlay=0*"):
        page.check("#bare")
    page.wait_for_selector("#boxes .box")
    assert page.locator("#boxes .box").get_attribute("x") == "40"
    assert page.locator("#boxes text").text_content() == "#3 happy 82%"
    page.uncheck("#bare")
    page.wait_for_selector("#boxes", state="hidden")


def test_boxes_are_drawn_in_the_browser_where_the_camera_sends_jpegs(
    page: Any, daemon: Daemon
) -> None:
    assert not page.is_checked("#bare")
    daemon.facts = {"camera_jpeg": True}
    with page.expect_request("**/stream.mjpg?overlay=0*"):
        page.reload()
    page.wait_for_selector("#boxes", state="attached")
    assert page.is_checked("#bare")
    with page.expect_request("**/stream.mjpg?t=*"):
        page.uncheck("#bare")


def test_privacy_masks_are_drawn_and_explained(page: Any, daemon: Daemon) -> None:
    assert page.is_hidden("#masks-note")
    daemon.facts = {"masks": [[0.5, 0, 0.5, 0.25], [0, 0, 1, 0, 0, 1]]}
    page.wait_for_selector("#masks-note", state="visible")
    page.wait_for_selector("#masks[viewBox='0 0 160 120']")
    drawn = page.locator("#masks .mask").evaluate_all("all => all.map(one => one.outerHTML)")
    assert 'points="80,0 160,0 160,30 80,30"' in drawn[0]
    assert 'points="0,0 160,0 0,120"' in drawn[1]
    picture, masks = (page.locator(name).bounding_box() for name in ("#picture", "#masks"))
    assert picture == masks
    daemon.facts = {"masks": []}
    page.wait_for_selector("#masks-note", state="hidden")
    assert page.locator("#masks .mask").count() == 0


def test_events_are_told_and_never_become_markup(page: Any, daemon: Daemon) -> None:
    daemon.camera["name"] = "<img src=x onerror=alert(1)>"
    for kind, fields in (
        ("<b>new</b>", {}),
        ("face_update", {"face": 2, "label": "sad", "score": 0.5}),
        ("face_update", {"face": 2}),
        ("face_end", {"face": 2, "duration_s": 12.5}),
        (
            "expression_change",
            {"face": 3, "label": "happy", "previous": "sad", "score": 0.914, "duration_s": 1},
        ),
    ):
        daemon.happens(kind, **fields)
    page.wait_for_selector("#events li:nth-child(5)")
    assert texts(page, "#events li span:last-child") == [
        "Face 3: sad → happy (91%)",
        "Face 2 left after 12\u00a0s",
        "Face 2 is still in view",
        "Face 2 is still in view: sad (50%)",
        "<b>new</b>",
    ]
    page.wait_for_function("() => document.title.startsWith('<img')")
    assert page.locator("#camera-name *, #events b").count() == 0
    page.select_option("#kind", "face_")
    page.wait_for_selector("#events li:nth-child(4)", state="detached")
    assert texts(page, "#events li span:last-child")[0] == "Face 2 left after 12\u00a0s"


def test_the_past_is_there_when_the_page_opens_and_goes_on(chromium: Any, daemon: Daemon) -> None:
    lively(daemon)
    page = chromium.new_page()
    page.goto(daemon.url)
    page.wait_for_selector(".span[data-label=sad]")
    spans = page.locator(".span").evaluate_all("all => all.map(one => one.dataset.label)")
    assert sorted(spans) == ["fear", "happy", "sad"]
    label = page.locator("#lanes svg").get_attribute("aria-label")
    assert "Face 1: sad 62%, happy 38%" in label
    daemon.happens("expression_start", face=9, label="surprise", score=0.7)
    page.wait_for_selector(".span[data-label=surprise]")
    page.close()


def test_a_jump_of_the_clock_moves_the_past(chromium: Any, daemon: Daemon) -> None:
    """Happy for a minute, and sad for another, in which the clock is set back."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    for kind, ago_s, fields in (
        ("expression_start", 120, {"face": 1, "label": "happy"}),
        ("expression_change", 60, {"face": 1, "label": "sad"}),
    ):
        daemon.happens(kind, now + hour - timedelta(seconds=ago_s), **fields)
    daemon.happens("clock_jump", now - timedelta(seconds=30), jump_s=-3600.0)
    daemon.until_logged(3)
    page = chromium.new_page()
    page.goto(daemon.url)
    page.wait_for_selector(".span[data-label=sad]")
    titles = page.locator(".span title").all_text_contents()
    assert [title.partition("min")[0] for title in titles] == ["happy, 1\u00a0", "sad, 1\u00a0"]
    page.select_option("#kind", label="camera and daemon")
    page.wait_for_selector("#events li:nth-child(2)", state="detached")
    (sentence,) = texts(page, "#events li span:last-child")
    assert sentence == "The clock jumped back by 1\u00a0h\u00a00\u00a0min"
    page.close()


def test_a_lost_camera_is_announced_until_it_is_back(page: Any, daemon: Daemon) -> None:
    assert page.is_hidden("#banner")
    daemon.camera |= {"state": "lost", "notice": "/dev/video0 is gone."}
    page.wait_for_selector("#banner", state="visible")
    assert page.inner_text("#banner") == "Camera lost. /dev/video0 is gone."
    assert page.inner_text("#pill") == "Camera lost"
    daemon.camera |= {"state": "ok", "notice": ""}
    page.wait_for_selector("#banner", state="hidden")


def test_what_does_not_work_is_said(page: Any, daemon: Daemon) -> None:
    assert page.is_hidden("#notices")
    daemon.camera["no_camera_found"] = True
    daemon.facts = {
        "controls": {"pause": True},
        "event_log": {"trouble": "events.jsonl: No space left on device"},
        "snapshots": {"trouble": ""},
        "mqtt": {"connected": False, "trouble": "broker:1883: connection refused."},
        "update": {"state": "refused", "reason": "its goldens differ"},
    }
    page.wait_for_selector("#notices", state="visible")
    demo, *others = texts(page, "#notices li")
    assert demo.startswith("No camera was found, so this is the built-in demo.")
    assert others == [
        "Paused: nothing is analyzed and nothing is shown.",
        "Events are not saved: events.jsonl: No space left on device.",
        "The MQTT broker is not connected: broker:1883: connection refused.",
        "The newest model is not in use: its goldens differ.",
    ]
    assert page.inner_text("#pill") == "Paused"
    daemon.camera["no_camera_found"] = False
    daemon.facts = {"mqtt": {"connected": True, "trouble": ""}, "update": None}
    page.wait_for_selector("#notices", state="hidden")


def test_the_page_links_to_stream_api_and_metrics(page: Any, daemon: Daemon) -> None:
    links = page.locator("footer a").evaluate_all("all => all.map(one => one.href)")
    paths = [link.removeprefix(daemon.url) for link in links]
    assert paths == ["stream.mjpg", "snapshot.jpg", "state", "metrics", "openapi.yaml"]
    assert page.locator("text=Sign out").count() == 0  # nobody has to sign in


def test_a_daemon_that_comes_back_is_found_again(page: Any, daemon: Daemon, tmp_path: Path) -> None:
    daemon.happens("face_start", face=1)
    page.wait_for_selector("#events li")
    daemon.stop()
    page.wait_for_selector("#pill[data-state=gone]")
    assert "does not answer" in page.inner_text("#banner")
    assert page.is_visible(".no-picture")
    assert page.is_hidden("#picture")
    assert "when last connected" in page.inner_text("#facts-title")
    again = Daemon(tmp_path, port=daemon.server.port, level=150)
    again.happens("face_start", face=2)  # while the page is not connected
    again.start()
    try:
        page.wait_for_selector("#pill[data-state=ok]")
        assert page.is_hidden("#banner")
        assert page.is_hidden(".no-picture")
        wait_for_gray(page, 146, 154)
        page.wait_for_selector("#events li:nth-child(2)")
        assert texts(page, "#events li span:last-child")[0] == "Face 2 came into view"
    finally:
        again.stop()


def test_who_is_not_signed_in_is_asked_and_then_let_in(chromium: Any, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, token=hash_token(TOKEN))
    daemon.start()
    page = chromium.new_page()
    try:
        page.goto(daemon.url)
        assert page.title() == "Sign in · Mien"
        page.fill("#password", "a guess")
        page.keyboard.press("Enter")
        page.wait_for_selector(".problem")
        page.fill("#password", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#pill[data-state=ok]")
        daemon.level = 90
        wait_for_gray(page, 86, 94)
        page.click("text=Sign out")
        page.wait_for_selector("#password")
        assert page.context.cookies() == []
    finally:
        page.close()
        daemon.stop()


def test_a_page_whose_session_has_ended_says_so(chromium: Any, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, token=hash_token(TOKEN))
    daemon.start()
    page = chromium.new_page()
    page.goto(f"{daemon.url}?token={TOKEN.replace(' ', '+')}")
    page.wait_for_selector("#pill[data-state=ok]")
    daemon.stop()
    again = Daemon(tmp_path, port=daemon.server.port, token=hash_token(TOKEN))
    again.start()  # its sessions have another key
    try:
        page.wait_for_selector("#pill[data-state=out]")
        page.click("#banner a")
        page.wait_for_selector("#password")
    finally:
        page.close()
        again.stop()


@pytest.mark.usefixtures("blazeface_dir")
def test_a_photo_can_be_tried(page: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    cv2.imwrite(str(photo), Demo().render(5.0))
    page.set_input_files("#file", photo)
    page.wait_for_selector("#try-faces .card")
    assert page.locator("#try-picture").evaluate("one => one.naturalWidth") == 640
    assert "found" in page.inner_text("#try-note")
    page.set_input_files("#file", Path(__file__))
    page.wait_for_selector("text=This is not a JPEG, PNG or WebP picture.")


@pytest.mark.usefixtures("blazeface_dir")
def test_the_browsers_camera_can_be_tried(page: Any) -> None:
    page.click("#take")
    page.wait_for_selector("#preview", state="visible")
    page.wait_for_selector("#take:has-text('Take the picture')")
    page.click("#take")
    page.wait_for_selector("#try-note:has-text('found')")
    assert page.is_hidden("#preview")


def test_nothing_is_wider_than_the_screen(page: Any, daemon: Daemon) -> None:
    daemon.camera |= {"state": "lost", "notice": "/dev/" + "v4l" * 40, "name": "camera " * 12}
    lively(daemon)
    page.wait_for_selector(".card")
    page.wait_for_selector("#banner", state="visible")
    for width in (320, 390, 800):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_disclosure_is_in_view_at_once(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 700})
    place = page.locator(".disclosure").bounding_box()
    assert place["y"] + place["height"] < 300
    assert "Automated expression analysis is running" in page.inner_text(".disclosure")


def test_everything_can_be_reached_by_keyboard(page: Any) -> None:
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert reached == ["A", "A", "bare", "kind", "label", "A", "events", "SUMMARY", "file", "take"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(chromium: Any, tmp_path: Path, scheme: str) -> None:
    daemon = Daemon(tmp_path, token=hash_token(TOKEN))
    daemon.start()
    lively(daemon)
    context = chromium.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(daemon.url)
    assert axe_finds(page) == ""
    page.goto(f"{daemon.url}?token={TOKEN.replace(' ', '+')}")
    page.wait_for_selector(".card")
    page.wait_for_selector(".span")
    page.wait_for_selector("#events li")
    assert axe_finds(page) == ""
    daemon.stop()
    page.wait_for_selector("#pill[data-state=gone]")
    assert axe_finds(page) == ""
    context.close()


def test_a_closed_page_leaves_no_viewer(chromium: Any, daemon: Daemon) -> None:
    page = chromium.new_page()
    page.goto(daemon.url)
    page.wait_for_selector("#pill[data-state=ok]")
    page.close()
    until(lambda: daemon.server.viewers == 0)


def test_a_picture_that_stands_still_is_asked_for_anew(page: Any, daemon: Daemon) -> None:
    """Browsers do not report the end of a stream to the page."""
    page.clock.install()
    with page.expect_request("**/stream.mjpg?t=*"):
        page.clock.fast_forward("01:00")
    daemon.level = 90
    wait_for_gray(page, 86, 94)
