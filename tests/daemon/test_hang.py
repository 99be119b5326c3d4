"""A read that blocks in native code: the process can be stopped, and ends itself in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mjpeg_server import demo_jpegs
from support.paths import ROOT

# A camera on a pipe: OpenCV's read() blocks there for ever, as in a driver that hangs, and what
# is opened already cannot be opened again, as with a device. argv: the pipe, the limit in seconds.
SCRIPT = """
import signal, sys
import cv2
from edge_daemon.__main__ import leave
from edge_daemon.capture.camera import Camera
from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Latest
from edge_daemon.capture.sources import SourceAwayError, TimedImage
from edge_daemon.core.threads import Stop

class Pipe:
    name, fps, mode, opened = "pipe", None, "", False
    def __init__(self):
        if Pipe.opened:
            raise SourceAwayError("pipe is in use")
        Pipe.opened = True
        self.capture = cv2.VideoCapture(sys.argv[1])
    def read(self):
        ok, bgr = self.capture.read()
        return TimedImage(Picture(bgr)) if ok else None
    def close(self):
        self.capture.release()

stop = Stop()
signal.signal(signal.SIGTERM, lambda *_: stop.request())
camera = Camera(
    open_source=Pipe,
    frames=Latest(),
    timeout_s=0.5,
    lossless=False,
    on_failure=stop.fail,
    hang_limit_s=float(sys.argv[2]),
    on_lost=lambda loss: print("lost", loss.cause, flush=True),
)
camera.start()
while not stop.event.wait(0.1):
    pass
print("left behind:", camera.counts.abandoned, flush=True)
camera.stop()
leave(1 if stop.failure else 0)
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe that delivers 200 pictures and then blocks its reader forever."""
    path = tmp_path / "pipe.mjpeg"
    os.mkfifo(path)
    jpegs = demo_jpegs(320, 240, 10)
    done = threading.Event()

    def feed() -> None:
        with path.open("wb") as writer:
            for number in range(200):
                writer.write(jpegs[number % 10])
            writer.flush()
            done.wait()

    feeding = threading.Thread(target=feed)
    feeding.start()
    yield path
    done.set()
    feeding.join()


def started(pipe: Path, limit_s: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(pipe), str(limit_s)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_process_stops_while_a_read_hangs(pipe: Path) -> None:
    with started(pipe, limit_s=600) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "lost silent\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == "left behind: 1\n"


def test_the_process_gives_up_on_a_read_that_hangs_for_too_long(pipe: Path) -> None:
    with started(pipe, limit_s=0.5) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == "lost silent\nleft behind: 1\n"
    assert "a read of the camera has hung in the driver for" in err
    assert "Traceback" not in err
