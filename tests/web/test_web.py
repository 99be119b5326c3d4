"""Page, stream, stills and state, with real clients of several kinds."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from support.labels import LABELS
from support.pictures import decoded
from support.waiting import until
from support.website import CAPTURED_AT, Site, noise, read_part, served, view

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Box, Drawing, Frame, View
from edge_daemon.web import app as web
from edge_daemon.web.stream import BOUNDARY

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, view(1)) as site:
        yield site


def level(jpeg: bytes) -> int:
    """Return the gray level of a picture of `view()`."""
    bgr = decoded(jpeg)
    assert bgr.shape == (120, 160, 3)
    return int(np.median(bgr))


def test_the_page_comes_with_security_headers_and_no_inline_code(site: Site) -> None:
    response = site.get("/")
    page = response.body.decode()
    assert response.status == 200
    assert "Automated expression analysis is running" in page
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?://", page)


def test_all_that_the_page_names_is_there(site: Site) -> None:
    page = site.get("/").body.decode()
    named = set(re.findall(r'(?:src|href)="(static/[^"]+)"', page))
    assert len(named) == 3
    scripts = {f"static/{path.name}" for path in Path(web.__file__).parent.glob("static/*.js")}
    for path in named | scripts:
        response = site.get(f"/{path}")
        assert response.status == 200
        body = response.body.decode().replace("http://www.w3.org/2000/svg", "")
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
    assert level(response.body) == pytest.approx(120, abs=2)


def test_chromium_gets_the_next_headers_with_the_picture(site: Site) -> None:
    with site.watch(User_Agent=CHROME) as response:
        opening = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
        assert response.read(len(opening)) == opening
        data = b""
        while not data.endswith(opening):  # there is no second picture
            data += response.read1()
        assert level(data.removesuffix(b"\r\n" + opening)) == pytest.approx(40, abs=2)


def test_an_unchanged_picture_is_sent_again(site: Site) -> None:
    with site.watch() as response:
        first, second = read_part(response), read_part(response)
    assert first[1] == second[1]
    assert first[0]["X-Sent-Timestamp"] != second[0]["X-Sent-Timestamp"]


def test_viewers_share_one_encoding(site: Site) -> None:
    """Two viewers get the same bytes; a third with another quality gets others."""
    site.views.put(noise(1))
    paths = ("/stream", "/stream?width=640", "/stream?quality=80", "/stream?quality=30")
    with ExitStack() as watching:
        streams = [watching.enter_context(site.watch(path)) for path in paths[::2]]
        one, same = (read_part(stream)[1] for stream in streams)
    other = site.get("/snapshot?quality=30").body
    assert one == same
    assert len(other) < len(one)


def test_a_stream_is_as_asked_for(site: Site) -> None:
    site.views.put(view(2, (640, 480)))
    with site.watch("/stream?width=333&quality=40") as response:
        bgr = decoded(read_part(response)[1])
    assert bgr.shape == (240, 320, 3)
    assert not np.ptp(decoded(site.get("/snapshot?overlay=0").body))
    assert np.ptp(decoded(site.get("/snapshot?overlay=1").body))
    assert decoded(site.get("/snapshot?width=4000").body).shape == (480, 640, 3)


@pytest.mark.parametrize("overlay", [0, 1])
def test_a_blurred_face_is_blurred_without_overlay_too(site: Site, overlay: int) -> None:
    plain = noise(1)
    site.views.put(
        replace(plain, blur_areas=(Box(160, 120, 320, 240),), drawing=Drawing(blur=True))
    )
    with site.watch(f"/stream?quality=100&overlay={overlay}") as response:
        streamed = decoded(read_part(response)[1])
    still = decoded(site.get(f"/snapshot.jpg?quality=100&overlay={overlay}").body)
    for bgr in (streamed, still):
        steps = np.abs(np.diff(bgr.astype(int), axis=1))
        assert np.median(steps[125:355, 165:475]) < 5
        assert np.median(steps[:110]) > 20


@pytest.mark.parametrize("overlay", [0, 1])
def test_a_private_picture_is_a_card_without_overlay_too(site: Site, overlay: int) -> None:
    """The card does not depend on the picture: noise and black give the same bytes."""
    got = []
    for number, change in enumerate((1, 0), 1):
        frame = noise(number).frame
        site.views.put(
            View(replace(frame, picture=Picture(frame.bgr * change)), drawing=Drawing(show=False))
        )
        with site.watch(f"/stream?overlay={overlay}") as response:
            got.append(read_part(response)[1])
        got.append(site.get(f"/snapshot.jpg?overlay={overlay}").body)
    assert len(set(got)) == 1
    assert decoded(got[0]).max() > 200  # the text on it


@pytest.mark.parametrize(
    "query", ["fps=0", "fps=x", "quality=101", "width=1", "overlay=2", "quality=nan"]
)
def test_a_wrong_setting_is_named(site: Site, query: str) -> None:
    response = site.get(f"/stream?{query}")
    assert response.status == 400
    assert f"?{query.partition('=')[0]}=" in response.body.decode()


def test_a_stream_keeps_to_its_rate(site: Site) -> None:
    with site.camera_running(fps=60), site.watch("/stream?fps=5") as slow, site.watch() as fast:
        sent_s = [float(read_part(slow)[0]["X-Sent-Timestamp"]) for _ in range(6)]
        assert sent_s[-1] - sent_s[0] >= 0.7  # 5 intervals; the first may be empty
        for _ in range(20):
            read_part(fast)


def test_different_settings_are_bounded(tmp_path: Path) -> None:
    site = Site(tmp_path, max_viewers=20)
    site.start()
    site.views.put(view(1))
    try:
        with ExitStack() as watching:
            for quality in range(1, 7):
                watching.enter_context(site.watch(f"/stream?quality={quality}"))
            refused = site.get("/stream?quality=7")
            assert refused.status == 503
            assert "different settings" in refused.body.decode()
            watching.enter_context(site.watch("/stream?quality=6"))
    finally:
        site.stop()


def test_a_still_can_be_asked_for_only_if_it_is_new(site: Site) -> None:
    first = site.get("/snapshot")
    tag = first.headers["ETag"]
    assert site.get("/snapshot", If_None_Match=tag).status == 304
    site.views.put(view(2))
    second = site.get("/snapshot", If_None_Match=tag)
    assert second.status == 200
    assert second.headers["ETag"] != tag


def test_a_still_may_be_too_old(site: Site) -> None:
    refused = site.get("/snapshot?max_age=10")
    assert refused.status == 404
    assert "s old" in refused.body.decode()
    bgr = np.zeros((120, 160, 3), np.uint8)
    site.views.put(View(Frame(1, Picture(bgr), time.monotonic(), datetime.now(UTC))))
    assert site.get("/snapshot?max_age=60").status == 200
    later = datetime.now(UTC) + timedelta(hours=1)  # the clock has been set back since
    site.views.put(View(Frame(2, Picture(bgr), time.monotonic() - 3600, later)))
    refused = site.get("/snapshot?max_age=60")
    assert (refused.status, refused.body.decode()[:24]) == (404, "The newest picture is 36")


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
            assert refused.body.decode().count(".") == 1
            assert site.get("/snapshot.jpg").status == 200
        site.until_watched_by(2)
        with site.watch() as response:
            read_part(response)


def test_a_head_request_takes_no_place(site: Site) -> None:
    response = site.get("/stream.mjpg", method="HEAD")
    assert response.status == 200
    assert response.body == b""
    until(lambda: site.server.viewers == 0)


def test_without_a_picture_there_is_a_reason(site: Site) -> None:
    site.views.close()
    for path in ("/stream.mjpg", "/snapshot.jpg"):
        response = site.get(path)
        assert response.status == 503
        assert "not delivered" in response.body.decode()


def test_the_stream_ends_when_the_views_do(site: Site) -> None:
    with site.watch() as response:
        read_part(response)
        site.views.close()
        while response.read(65536):
            pass
    until(lambda: site.server.viewers == 0)


def test_state_keeps_the_order_of_its_keys(site: Site) -> None:
    site.facts = {"scores": dict.fromkeys(LABELS, 0.5), "name": "<b>Tür</b>"}
    response = site.get("/state")
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    state = json.loads(response.body)
    assert state["name"] == "<b>Tür</b>"
    assert list(state["scores"]) == list(LABELS)
    assert next(iter(state)) == "version"


def test_healthz_says_why(site: Site) -> None:
    response = site.get("/healthz")
    assert (response.status, response.body) == (200, b"ok frames arrive\n")
    site.health = (False, "no frame for 5 s")
    response = site.get("/healthz")
    assert (response.status, response.body) == (503, b"failing no frame for 5 s\n")


def test_a_failing_callback_costs_one_answer_only(site: Site) -> None:
    site.facts = {"fps": float("nan")}
    assert site.get("/state").status == 500
    assert site.get("/healthz").status == 200
    assert site.failures == []


def test_what_is_not_there_is_404(site: Site) -> None:
    assert site.get("/static/../web.py").status == 404
    assert site.get("/nothing").status == 404


def test_the_server_as_a_whole_says_what_it_can(site: Site) -> None:
    response = site.get("*", method="OPTIONS")
    assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")


def test_stopping_twice_and_before_the_start_is_harmless(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.stop()
    site = Site(tmp_path)
    site.start()
    site.stop()
    site.stop()
    assert site.failures == []


def test_a_port_in_use_is_an_error_with_its_reason(site: Site, tmp_path: Path) -> None:
    second = Site(tmp_path, port=site.server.port)
    with pytest.raises(OSError, match="in use") as caught:
        second.server.start()
    assert (caught.value.strerror or "").startswith("Address already in use")
    second.stop()
