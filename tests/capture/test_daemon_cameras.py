"""Runs the daemon with odd cameras and files; no secret is shown, and nothing ends it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import IO
from urllib.error import HTTPError

import pytest
from support.daemon import Daemon
from support.fake_clock import FakeClock
from support.mjpeg_server import MjpegServer, demo_jpegs
from support.paths import ROOT
from support.pictures import decoded
from support.waiting import until
from support.wire_server import WireServer, header

PASSWORD = "ZQ/XW#YV?UJ[KG]HF@PL%M"  # noqa: S105
PARTS = ["ZQ", "XW", "YV", "UJ", "KG", "HF", "PL%M", base64.b64encode(b"me:ZQ").decode()[:6]]
UNAUTHORIZED = b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="cam"\r\n\r\n'


def health(daemon: Daemon) -> str:
    try:
        return daemon.get("/healthz").decode()
    except HTTPError as error:
        return error.read().decode()


def shown(daemon: Daemon) -> str:
    """Return all that the daemon says to anybody."""
    pages = [daemon.get(path).decode() for path in ("/", "/state", "/metrics")]
    return "\n".join([*pages, health(daemon), *daemon.log, daemon.events_path.read_text()])


@pytest.mark.parametrize("password", [PASSWORD, "ZQ%2FXW%23YV%3FUJ%5BKG%5DHF%40PL%25M"])
def test_a_password_with_special_characters_works_and_is_shown_nowhere(
    tmp_path: Path, password: str
) -> None:
    jpegs = demo_jpegs(160, 120, 6)
    right = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    locked: list[str] = []

    def answer(request: str) -> Iterable[bytes]:
        if locked or header(request, "Authorization") != right:
            yield UNAUTHORIZED
            return
        yield b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n"
        number = 0
        while not locked and not camera.closing.wait(0.05):
            yield b"--x\r\n\r\n" + jpegs[number % len(jpegs)]
            number += 1

    camera = WireServer(answer)
    url = camera.url(f"me:{password}@", "/video?pwd=ZQXW")
    try:
        with Daemon(tmp_path, f"camera.source={json.dumps(url)}") as daemon:
            daemon.until(lambda: daemon.state()["camera"]["state"] == "ok")
            assert not [part for part in PARTS if part in shown(daemon)]
            locked.append("the password was changed")
            daemon.until(lambda: daemon.state()["camera"]["cause"] == "absent")
            assert "refuses the user name or the password" in health(daemon)
            assert not [part for part in PARTS if part in shown(daemon)]
            assert daemon.stop() == 0
        for words in (["doctor"], ["check-config"]):
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "edge_daemon", *words),
                    *("--set", f"camera.source={json.dumps(url)}", "--set", "web.port=0"),
                ],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert not [part for part in PARTS if part in done.stdout + done.stderr]
    finally:
        camera.stop()


def test_what_a_camera_says_is_bounded_and_cleaned_everywhere(tmp_path: Path) -> None:
    reason = b"=cmd|' /C calc'!A0 \x1b[31m<script>\x07" + b"x" * 5000
    camera = WireServer(lambda request: [b"HTTP/1.0 503 " + reason + b"\r\n\r\n"])
    try:
        with Daemon(tmp_path, f"camera.source={camera.url()}") as daemon:
            lost = daemon.until(lambda: [e for e in daemon.events() if e["type"] == "camera_lost"])[
                0
            ]
            assert daemon.stop() == 0
    finally:
        url = camera.url()
        camera.stop()
    assert lost["reason"].startswith(f"{url} answers 503 =cmd|")
    assert lost["reason"].isprintable()
    assert len(lost["reason"]) < 200
    assert all(line.isprintable() and len(line) < 400 for line in daemon.log)


def test_a_cut_video_played_once_ends_with_an_error(tmp_path: Path, media_dir: Path) -> None:
    clip = tmp_path / "cut.mkv"
    clip.write_bytes((media_dir / "signing-bird.mkv").read_bytes()[:80_000])
    options = (f"camera.source={clip}", "camera.loop=false", "camera.lossless=true")
    with Daemon(tmp_path, *options) as daemon:
        assert daemon.ended() == 1
    complaints = [line for line in daemon.log if "is cut off or damaged: " in line]
    assert any(line.startswith("CRITICAL") for line in complaints)
    assert not any("Traceback" in line for line in daemon.log)


# Prints the time of each frame of the camera at argv[1].
FRAME_TIMES = """
import sys
from edge_daemon.capture.camera import Camera
from edge_daemon.capture.opener import source_opener
from edge_daemon.core.slots import Latest

frames = Latest()
Camera(
    open_source=source_opener(
        sys.argv[1], width=320, height=240, fps=15, loop=False, timeout_s=20
    ),
    frames=frames,
    timeout_s=20,
    lossless=False,
    on_failure=lambda error: None,
    on_lost=lambda loss: print("lost", loss.reason, flush=True),
).start()
seq = 0
while True:
    if got := frames.get(after=seq):
        seq, frame = got
        print(frame.captured_at.timestamp(), flush=True)
"""


def test_frames_have_the_time_of_the_clock_as_it_is_now(tmp_path: Path) -> None:
    """As after NTP sets the clock of a board without one, or after a resume."""
    clock = FakeClock(tmp_path)
    clock.set(0)
    server = MjpegServer(demo_jpegs(320, 240, 8))
    command = [*clock.interpreter, "-c", FRAME_TIMES, server.url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for offset_s in (0.0, 3600.0, -3600.0, -50 * 365 * 86400.0, 0.0):
                clock.set(offset_s)
                until(partial(follows, process.stdout, offset_s))
        finally:
            process.kill()
            server.stop()


def follows(lines: IO[str], offset_s: float) -> bool:
    """Return whether the next frame has the time that is now, moved by the offset."""
    return abs(float(lines.readline()) - time.time() - offset_s) < 1


def test_a_rotated_camera_is_shown_rotated(tmp_path: Path) -> None:
    options = ("camera.source=demo", "camera.rotate=90", "camera.mirror=true")
    with Daemon(tmp_path, *options) as daemon:
        daemon.until(lambda: daemon.state()["frames"]["processed"])
        assert decoded(daemon.get("/snapshot.jpg")).shape == (640, 480, 3)
        assert daemon.stop() == 0
