"""Tests programs that users open the stream with, and a thousand bad clients."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import cv2
import pytest
from support.waiting import until
from support.website import Site, view

from edge_daemon.web.credentials import hash_password

CONNECTIONS = 1000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.start()
    site.views.put(view(1))
    with site.camera_running():
        yield site
    site.stop()


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"NOT TESTED: {name} is not installed")
    return path


def output(*words: str) -> bytes:
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    return done.stdout


@pytest.mark.parametrize("path", ["/stream.mjpg", "/?action=stream"])
def test_opencv_reads_the_stream(site: Site, path: str) -> None:
    capture = cv2.VideoCapture(f"http://127.0.0.1:{site.server.port}{path}")
    pictures = [capture.read()[1] for _ in range(5)]
    capture.release()
    assert all(picture.shape == (120, 160, 3) for picture in pictures)


def test_ffprobe_knows_the_stream(site: Site) -> None:
    url = f"http://127.0.0.1:{site.server.port}/stream.mjpg"
    entries = ("-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0")
    assert output(program("ffprobe"), "-v", "error", *entries, url) == b"mjpeg,160,120\n"


def test_ffmpeg_reads_the_stream(site: Site) -> None:
    url = f"http://127.0.0.1:{site.server.port}/stream.mjpg"
    words = ("-v", "error", "-i", url, "-frames:v", "5", "-f", "framemd5", "-")
    lines = output(program("ffmpeg"), *words).splitlines()
    assert len([line for line in lines if not line.startswith(b"#")]) == 5


def test_ffmpeg_signs_in_with_the_addresss_password(tmp_path: Path) -> None:
    site = Site(tmp_path, password=hash_password("a long pass phrase"))
    site.start()
    try:
        with site.camera_running():
            url = f"http://any:a%20long%20pass%20phrase@127.0.0.1:{site.server.port}/stream.mjpg"
            words = ("-v", "error", "-i", url, "-frames:v", "3", "-f", "framemd5", "-")
            lines = output(program("ffmpeg"), *words).splitlines()
    finally:
        site.stop()
    assert len([line for line in lines if not line.startswith(b"#")]) == 3


def test_curl_reads_the_stream_and_the_still(site: Site) -> None:
    base = f"http://127.0.0.1:{site.server.port}"
    stream = output(program("curl"), "-sN", "--max-time", "1", f"{base}/stream.mjpg")
    assert stream.count(b"Content-Type: image/jpeg") > 3
    assert output(program("curl"), "-s", f"{base}/snapshot.jpg").startswith(b"\xff\xd8")


@pytest.fixture
def folder_for_all() -> Iterator[Path]:
    """A folder that other users may enter and write to."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def test_vlc_reads_the_stream(site: Site, folder_for_all: Path) -> None:
    """VLC writes the stream to a file. It refuses to run as root."""
    copy = folder_for_all / "copy.mjpg"
    words = [program("vlc"), "-I", "dummy", f"http://127.0.0.1:{site.server.port}/stream.mjpg"]
    words.append(f"--sout=#std{{access=file,mux=mpjpeg,dst={copy}}}")
    root = os.getuid() == 0
    player = subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder_for_all)},
        user="nobody" if root else None,
        group="nogroup" if root else None,
    )
    try:
        until(lambda: copy.exists() and copy.read_bytes().count(b"\xff\xd9") >= 5)
    finally:
        player.kill()
        player.wait()


def page_answers_within(site: Site, limit_s: float) -> bool:
    """Return whether the page is answered within `limit_s` in one of ten tries."""
    for _ in range(10):
        start_s = time.monotonic()
        assert site.get("/").status == 200
        if time.monotonic() - start_s < limit_s:
            return True
    return False


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * CONNECTIONS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"NOT TESTED: this needs {wanted} file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Two hundred of each: more than there are viewers, uploads, threads or connections in reserve.
BAD_REQUESTS = (
    b"",
    b"GET / HTTP/1.1\r\nHost: 127",
    b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST /api/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf",
    b"POST /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf",
)


@pytest.mark.usefixtures("many_files")
def test_the_page_opens_behind_a_thousand_bad_clients(site: Site) -> None:
    with ExitStack() as clients:
        for _, request_bytes in zip(range(CONNECTIONS), cycle(BAD_REQUESTS), strict=False):
            client = clients.enter_context(
                socket.create_connection(("127.0.0.1", site.server.port), 30)
            )
            client.sendall(request_bytes)
        assert page_answers_within(site, 1.0)
    assert site.failures == []
