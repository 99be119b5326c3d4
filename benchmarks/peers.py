"""Runs programs that read the same camera on loopback: Mien, motion, ustreamer, the seed's way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import running
from benchmarks.clips import ROOT
from benchmarks.load import PICTURE, close, connect
from benchmarks.scenes import Mode

NOBODY, DRAWN, PASSED = "no viewer", "drawn stream", "pass-through"
EDGE: Final = ROOT / ".venv" / "edge" / "bin" / "python"
DEV: Final = ROOT / ".venv" / "dev" / "bin" / "python"
FIRST_S: Final = 40.0  # for a program's first picture
SEARCHES: Final = re.compile(r'^mien_stage_seconds_count\{stage="detect"\} ([\d.e+]+)$', re.M)
MOTION: Final = """
daemon off
log_level 4
target_dir {folder}
netcam_url {url}
width {width}
height {height}
framerate {fps}
picture_output off
movie_output off
stream_port {port}
stream_localhost on
stream_quality 80
stream_maxrate {fps}
stream_motion off
webcontrol_port 0
"""


class Camera(NamedTuple):
    """A camera on loopback: its address, and the folder of the pictures it shows."""

    url: str
    pictures: Path
    mode: Mode


class Counts(NamedTuple):
    """Frames processed and frames searched since the start; None if a program tells neither."""

    frames: int | None = None
    searches: int | None = None


class Peer(NamedTuple):
    """A running program, through its first picture `start_s` seconds after its `exec`.

    `paths` has its stream for each kind of viewer.
    """

    pid: int
    port: int
    paths: Mapping[str, str]
    start_s: float
    counts: Callable[[], Counts]


@contextmanager
def mien(camera: Camera, folder: Path, checkout: Path = ROOT) -> Iterator[Peer]:
    """The daemon of this checkout or another one."""
    with running.daemon({"camera.source": camera.url}, folder, EDGE, checkout) as found:
        start_s = _first_picture_s(found.port, "/stream.mjpg") - found.started_s
        paths = {NOBODY: "", DRAWN: "/stream.mjpg", PASSED: "/stream.mjpg?overlay=0"}

        def counts() -> Counts:
            url = f"http://127.0.0.1:{found.port}/metrics"
            with urllib.request.urlopen(url, timeout=10) as answer:
                searches = SEARCHES.search(answer.read().decode())
            frames = found.state()["frames"]["processed"]
            return Counts(frames, int(float(searches[1])) if searches else None)

        yield Peer(found.pid, found.port, paths, start_s, counts)


@contextmanager
def motion(camera: Camera, folder: Path) -> Iterator[Peer]:
    """Debian's motion, which looks for motion in each frame."""
    port, program = running.free_port(), path_of("motion")
    width, height, fps = camera.mode
    config = folder / "motion.conf"
    values = {"folder": folder, "url": camera.url, "port": port}
    config.write_text(MOTION.format(width=width, height=height, fps=fps, **values))
    with _started([program, "-n", "-c", str(config)], folder / "motion.log") as (pid, started_s):
        start_s = _first_picture_s(port, "/") - started_s
        yield Peer(pid, port, {NOBODY: "", DRAWN: "/"}, start_s, Counts)


@contextmanager
def ustreamer(camera: Camera, folder: Path) -> Iterator[Peer]:
    """Debian's ustreamer.

    It reads V4L2 devices alone, so a preloaded library gives it the camera's pictures as one. That
    costs it nothing, where the others receive theirs over HTTP.
    """
    port, program, library = running.free_port(), path_of("ustreamer"), folder / "jpeg_device.so"
    source = ROOT / "benchmarks" / "native" / "jpeg_device.c"
    build = [path_of("gcc"), "-O2", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(build, check=True)  # noqa: S603
    device = folder / "camera"
    device.touch()  # ustreamer waits until it exists
    mode = camera.mode
    words = [program, f"--device={device}", "--format=MJPEG", "--encoder=HW", "--port", str(port)]
    words += [f"--resolution={mode.size}", f"--desired-fps={mode.fps}", "--host=127.0.0.1"]
    preload = {"LD_PRELOAD": str(library), "JPEG_DEVICE": str(device), "JPEG_SIZE": mode.size}
    preload |= {"JPEG_FOLDER": str(camera.pictures), "JPEG_FPS": str(mode.fps)}
    with _started(words, folder / "ustreamer.log", preload) as (pid, started_s):
        start_s = _first_picture_s(port, "/stream") - started_s
        yield Peer(pid, port, {NOBODY: "", PASSED: "/stream"}, start_s, Counts)


@contextmanager
def seed(camera: Camera, folder: Path) -> Iterator[Peer]:
    """The seed's way, which draws and encodes each frame whether somebody watches or not."""
    words = [str(DEV), "-m", "benchmarks.contenders.seed_camera", camera.url]
    with _counted(words, folder, "seed") as peer:
        yield peer


@contextmanager
def floor(camera: Camera, folder: Path) -> Iterator[Peer]:
    """Half-scale decoding and the bare parts, once for each picture of the camera."""
    module = "benchmarks.contenders.floor_camera"
    words = [str(EDGE), "-m", module, str(camera.pictures), str(camera.mode.fps)]
    with _counted(words, folder, "floor") as peer:
        yield peer


@contextmanager
def _counted(words: Sequence[str], folder: Path, name: str) -> Iterator[Peer]:
    """A program that prints a line for each frame, and serves nobody."""
    lines = folder / f"{name}.out"
    with _started(words, folder / f"{name}.log", {}, lines) as (pid, started_s):
        while not lines.stat().st_size:
            if time.monotonic() - started_s > FIRST_S:
                raise SystemExit(f"{words[2]} processes nothing: see {folder / name}.log")
            time.sleep(running.PAUSE_S)
        start_s = time.monotonic() - started_s
        yield Peer(pid, 0, {NOBODY: ""}, start_s, lambda: Counts(lines.stat().st_size))


def path_of(program: str) -> str:
    """Return the path of a Debian program; ends the benchmark if it is not installed."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{program} is not installed: apt install {program}")
    return found


@contextmanager
def _started(
    words: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> Iterator[tuple[int, float]]:
    """Run a program; gives its process and the moment of its start."""
    started_s = time.monotonic()
    with log.open("w") as errors, (output or Path(os.devnull)).open("w") as lines:
        child = subprocess.Popen(  # noqa: S603
            words, cwd=ROOT, stdout=lines, stderr=errors, env=os.environ | (environment or {})
        )
    try:
        yield child.pid, started_s
    finally:
        child.terminate()
        child.wait()


def _first_picture_s(port: int, path: str) -> float:
    """Return when the first picture of a stream arrives; motion refuses until it has one."""
    running.wait_for(port)
    last_s = time.monotonic() + FIRST_S
    while time.monotonic() < last_s:
        (viewer,) = connect(port, 1, f"GET {path} HTTP/1.0\r\n\r\n".encode())
        viewer.settimeout(FIRST_S)
        received = b""
        while data := viewer.recv(1 << 16):
            received += data
            if PICTURE in received:
                now_s = time.monotonic()
                close([viewer])
                return now_s
        close([viewer])
        time.sleep(running.PAUSE_S)
    raise SystemExit(f"port {port} answers {path} with no picture")
