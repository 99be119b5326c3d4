"""The daemon on a network camera with faults: it recovers, logs it, and leaks nothing.

Each fault once here; `make test-faults` (CYCLES=200) goes on until threads and file descriptors
would show what is left behind.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from support.daemon import Daemon
from support.mjpeg_server import MjpegServer, Mode, demo_jpegs
from support.pictures import decoded

pytestmark = pytest.mark.usefixtures("blazeface_dir")

TIMEOUT_S = 1.0
CYCLES = int(os.environ.get("CYCLES", "200"))


class NetworkCamera:
    """A camera that keeps its address while it is stopped and started."""

    def __init__(self) -> None:
        self.sizes = cycle([demo_jpegs(320, 240, 20), demo_jpegs(400, 300, 20)])
        self.jpegs = next(self.sizes)
        self.server = MjpegServer(self.jpegs, interval_s=0.1)

    def become(self, mode: Mode) -> None:
        self.server.mode = mode

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server = MjpegServer(self.jpegs, port=self.server.server_port, interval_s=0.1)

    def start_at_another_size(self) -> None:
        self.jpegs = next(self.sizes)
        self.start()


class Fault(NamedTuple):
    """What breaks the camera, the cause in the event, and what repairs the camera."""

    name: str
    harm: Callable[[NetworkCamera], None]
    cause: str
    mend: Callable[[NetworkCamera], None]


def well(camera: NetworkCamera) -> None:
    camera.become("ok")


FAULTS = (
    Fault("stopped", NetworkCamera.stop, "ended", NetworkCamera.start),
    Fault("frozen", lambda camera: camera.become("still"), "frozen", well),
    Fault("silent", lambda camera: camera.become("silent"), "silent", well),
    Fault("cut in a part", lambda camera: camera.become("cut"), "ended", well),
    Fault("another size", NetworkCamera.stop, "ended", NetworkCamera.start_at_another_size),
)


@pytest.fixture
def camera() -> Iterator[NetworkCamera]:
    camera = NetworkCamera()
    yield camera
    camera.stop()


def camera_events(daemon: Daemon) -> list[dict[str, Any]]:
    return [event for event in daemon.events() if event["type"].startswith("camera_")]


def suffer(daemon: Daemon, camera: NetworkCamera, fault: Fault) -> float:
    """Run one fault, from a healthy camera to a healthy camera; return the outage's duration."""
    before = len(camera_events(daemon))
    fault.harm(camera)
    daemon.until(lambda: fault.cause in [e.get("cause") for e in camera_events(daemon)[before:]])
    fault.mend(camera)
    daemon.until(lambda: camera_events(daemon)[-1]["type"] == "camera_restored")
    # Healthy for longer than timeout_s, so that the next outage begins with a short wait again.
    frames = daemon.state()["frames"]["processed"]
    daemon.until(lambda: daemon.state()["frames"]["processed"] > frames + 12)
    return float(camera_events(daemon)[-1]["duration_s"])


def settings(camera: NetworkCamera) -> tuple[str, str]:
    return f"camera.source={camera.server.url}", f"camera.timeout_s={TIMEOUT_S}"


def assert_losses_and_recoveries_alternate(events: list[dict[str, Any]]) -> None:
    assert events[0]["type"] == "camera_lost"
    assert all(a["type"] != b["type"] for a, b in pairwise(events))
    assert all(e["reason"] for e in events if e["type"] == "camera_lost")


def test_the_daemon_survives_and_logs_every_fault(tmp_path: Path, camera: NetworkCamera) -> None:
    with Daemon(tmp_path, *settings(camera)) as daemon:
        daemon.until(lambda: daemon.state()["faces"])
        for fault in FAULTS:
            suffer(daemon, camera, fault)
        daemon.until(lambda: daemon.state()["faces"])
        assert daemon.stop() == 0
    assert_losses_and_recoveries_alternate(camera_events(daemon))
    log = "\n".join(daemon.log)
    assert "has repeated one picture for 1 s" in log
    assert "broke off in the middle of a picture" in log
    assert "400x300 MJPEG" in log
    assert "Traceback" not in log


def test_the_stream_shows_a_card_while_the_camera_is_lost(
    tmp_path: Path, camera: NetworkCamera
) -> None:
    def brightness() -> float:
        return float(np.median(decoded(daemon.get("/snapshot.jpg"))))

    with Daemon(tmp_path, *settings(camera)) as daemon:
        daemon.until(lambda: daemon.state()["faces"])
        bright = brightness()
        camera.stop()
        daemon.until(lambda: brightness() < bright / 2)
        assert daemon.state()["camera"]["state"] == "lost"
        camera.start()
        daemon.until(lambda: brightness() > bright / 2)


@pytest.mark.long
@pytest.mark.timeout(CYCLES * 20)
def test_nothing_is_left_behind_after_many_faults(tmp_path: Path, camera: NetworkCamera) -> None:
    def held() -> tuple[int, int]:
        """Threads and file descriptors of the daemon."""
        process = Path(f"/proc/{daemon.process.pid}")
        return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))

    with Daemon(tmp_path, *settings(camera)) as daemon:
        daemon.until(lambda: daemon.state()["faces"])
        for fault in FAULTS:
            suffer(daemon, camera, fault)
        at_first = held()
        outages: dict[str, list[float]] = {fault.name: [] for fault in FAULTS}
        for fault in islice(cycle(FAULTS), CYCLES):
            outages[fault.name].append(suffer(daemon, camera, fault))
        daemon.until(lambda: held() == at_first)  # a silent connection is given up after 5 s
        assert daemon.stop() == 0
    events = camera_events(daemon)
    assert_losses_and_recoveries_alternate(events)
    assert sum(e["type"] == "camera_restored" for e in events) >= CYCLES + len(FAULTS)
    print(f"\n{CYCLES} faults; threads and file descriptors before and after: {at_first}")
    for name, times_s in outages.items():
        print(f"{name:>14}: {statistics.median(times_s):.2f} s, at most {max(times_s):.2f} s")
