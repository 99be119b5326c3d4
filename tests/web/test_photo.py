"""Pictures sent to be classified: what is answered, what is refused before it is decoded."""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.website import LABELS, Site

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.web.photo import PhotoRefused, picture_size, read_photo


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.start()
    yield site
    site.stop()


def encoded(kind: str, bgr: np.ndarray) -> bytes:
    ok, content = cv2.imencode(kind, bgr)
    assert ok
    return content.tobytes()


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG that claims this size."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return Demo().render(5.0)


@pytest.mark.usefixtures("blazeface_dir")
@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_a_picture_is_classified(site: Site, photo: np.ndarray, kind: str) -> None:
    response = site.send("/api/classify", "POST", encoded(kind, photo), {})
    assert response.status == 200, response.body
    answer = json.loads(response.body)
    assert answer["size"] == [640, 480]
    assert answer["picture"].startswith("data:image/jpeg;base64,")
    assert [set(face["scores"]) for face in answer["faces"]] == [set(LABELS)] * 2
    drawn = site.send("/api/classify", "POST", encoded(kind, photo), {"Accept": "image/jpeg"})
    assert picture_size(drawn.body) == (640, 480)


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 415, "not a JPEG"),
        (b"GIF89a" + bytes(100), 415, "not a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not a JPEG"),
        (b"\xff\xd8\xff", 415, "not a JPEG"),
        (png_header(60_000, 60_000), 413, "40 megapixels"),
        (png_header(640, 480), 422, "damaged"),
        (b"\xff\xd8" + b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff" + bytes(20), 413, "megapixels"),
        (encoded(".jpg", np.zeros((8, 8, 3), np.uint8)) + b"\xff\xda" * 100, 422, "scans"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff", 413, "mega"),
    ],
)
def test_what_is_no_fit_picture_is_refused(
    site: Site, content: bytes, status: int, word: str
) -> None:
    response = site.send("/api/classify", "POST", content, {})
    assert (response.status, word in response.body.decode()) == (status, True), response.body


def test_a_bomb_is_not_decoded() -> None:
    """49 megapixels of zeros are 50 KB of PNG; refusing them costs no more than their header."""
    bomb = encoded(".png", np.zeros((7000, 7000), np.uint8))
    started_s = time.process_time()
    cv2.imdecode(np.frombuffer(bomb, np.uint8), cv2.IMREAD_GRAYSCALE)
    decoded_s = time.process_time()
    with pytest.raises(PhotoRefused, match="7000×7000"):
        read_photo(bomb)
    assert time.process_time() - decoded_s < (decoded_s - started_s) / 10


def test_too_long_a_body_is_refused_before_it_comes(site: Site) -> None:
    with site.connect() as client:
        client.sendall(b"POST /api/classify HTTP/1.1\r\nContent-Length: 10000001\r\n\r\n")
        answer = client.recv(1000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"10 MB" in answer
    with site.connect() as client:
        client.sendall(b"POST /api/classify HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 411 ")


def test_sizes_are_read_from_headers() -> None:
    bgr = np.zeros((30, 70, 3), np.uint8)
    for kind in (".jpg", ".png", ".webp"):
        assert picture_size(encoded(kind, bgr)) == (70, 30)
    ok, lossless = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert ok
    assert picture_size(lossless.tobytes()) == (70, 30)
    large = read_photo(encoded(".jpg", np.zeros((3000, 5000, 3), np.uint8)))
    assert max(large.shape) <= 2048


def test_nothing_of_a_picture_is_kept(site: Site, photo: np.ndarray, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    assert site.send("/api/classify", "POST", encoded(".jpg", photo), {}).status == 200
    assert set(tmp_path.rglob("*")) == before
