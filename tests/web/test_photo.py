"""Tests uploaded pictures: the answers, and the status of each refusal."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.labels import LABELS
from support.picture_headers import png_header
from support.pictures import by_opencv, demo_scene
from support.website import Site

from edge_daemon.core.picture import decode_picture
from edge_daemon.web.photo import read_photo
from edge_daemon.web.server.loop import Loop


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.start()
    yield site
    site.stop()


def progressive_jpeg(scans: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "JPEG", progressive=True)
    whole = content.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * scans + whole[-2:]


@pytest.mark.usefixtures("blazeface_dir")
@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_a_picture_is_classified(site: Site, kind: str) -> None:
    response = site.send("/api/classify", "POST", by_opencv(kind)(demo_scene()), {})
    assert response.status == 200, response.body
    answer = json.loads(response.body)
    assert answer["size"] == [640, 480]
    assert answer["picture"].startswith("data:image/jpeg;base64,")
    assert [set(face["scores"]) for face in answer["faces"]] == [set(LABELS)] * 2
    drawn = site.send(
        "/api/classify", "POST", by_opencv(kind)(demo_scene()), {"Accept": "image/jpeg"}
    )
    assert decode_picture(drawn.body).size == (640, 480)


@pytest.mark.usefixtures("blazeface_dir")
def test_boxes_are_in_the_pictures_own_pixels(site: Site) -> None:
    """A picture is reduced for the search; the answer is in the pixels of what was sent."""
    enlarged = cv2.resize(demo_scene(), (4000, 3000), interpolation=cv2.INTER_CUBIC)
    answers = [
        json.loads(site.send("/api/classify", "POST", by_opencv(".jpg")(bgr), {}).body)
        for bgr in (demo_scene(), enlarged)
    ]
    assert [answer["size"] for answer in answers] == [[640, 480], [4000, 3000]]
    small, large = ([face["box"] for face in answer["faces"]] for answer in answers)
    assert len(small) == len(large) == 2
    for before, after in zip(small, large, strict=True):
        assert np.abs(np.array(before) * 6.25 - after).max() < 0.1 * after[2]


@pytest.mark.usefixtures("blazeface_dir")
@pytest.mark.parametrize(("height", "width"), [(5000, 1), (3, 20_000), (1, 1)])
@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_odd_shapes_hold_no_face(site: Site, kind: str, height: int, width: int) -> None:
    content = by_opencv(kind)(np.full((height, width, 3), 127, np.uint8))
    response = site.send("/api/classify", "POST", content, {})
    assert response.status == 200, response.body
    answer = json.loads(response.body)
    assert (answer["size"], answer["faces"]) == ([width, height], [])


def test_a_place_is_held_until_the_native_work_ends() -> None:
    """A deadline ends the wait only: what was started goes on, and nothing starts beside it."""
    done: list[str] = []
    go_on = threading.Event()

    def work(name: str) -> None:
        assert go_on.wait(60)
        done.append(name)

    def visit() -> None:
        loop = Loop()
        threads = loop.threads(1)
        with loop.running():
            for name in ("first", "second"):
                with pytest.raises(TimeoutError), loop.deadline(0.1):
                    threads.run(work, name)
            go_on.set()
            threads.run(work, "third")

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join()
    assert done == ["first", "third"]


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 415, "not a JPEG, PNG or WebP picture"),
        (b"GIF89a" + bytes(100), 415, "is GIF, not JPEG, PNG or WebP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not a JPEG, PNG or WebP picture"),
        (b"\xff\xd8\xff", 422, "damaged"),
        (png_header(60_000, 60_000), 413, "40 megapixels"),
        (png_header(640, 480), 422, "damaged"),
        (png_header(65_500, 65_500), 413, "65500×65500"),
        (progressive_jpeg(scans=60), 422, "scans"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff", 413, "mega"),
    ],
)
def test_what_is_no_fit_picture_is_refused(
    site: Site, content: bytes, status: int, word: str
) -> None:
    response = site.send("/api/classify", "POST", content, {})
    assert (response.status, word in response.body.decode()) == (status, True), response.body


def test_too_long_a_body_is_refused_before_it_comes(site: Site) -> None:
    with site.connect() as client:
        client.sendall(
            b"POST /api/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10100001\r\n\r\n"
        )
        answer = client.recv(1000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"10 MB" in answer
    with site.connect() as client:
        client.sendall(b"POST /api/classify HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        client.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 411 ")


def test_large_pictures_are_reduced() -> None:
    large = read_photo(by_opencv(".jpg")(np.zeros((3000, 5000, 3), np.uint8)))
    assert large.bgr.shape == (1500, 2500, 3)
    assert large.size == (5000, 3000)


def test_nothing_of_a_picture_is_kept(site: Site, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    assert site.send("/api/classify", "POST", by_opencv(".jpg")(demo_scene()), {}).status == 200
    assert set(tmp_path.rglob("*")) == before
