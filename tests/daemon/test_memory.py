"""Tests that the daemon returns memory to the system after a peak."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.daemon import Daemon

MB = 1_000_000


def resident_bytes(daemon: Daemon) -> int:
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


@pytest.mark.usefixtures("blazeface_dir")
def test_large_uploads_leave_no_memory_behind(tmp_path: Path) -> None:
    """Of 39 megapixels, and of sizes that leave gaps in the heap."""
    pictures = [np.full((side, side, 3), 128, np.uint8) for side in (6250, 2000, 2500, 3100)]
    jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    with Daemon(tmp_path, "camera.source=demo", "detector.backend=blazeface") as daemon:
        daemon.until(lambda: daemon.state()["frames"]["processed"] > 60)
        url, before = f"{daemon.url}/api/classify", resident_bytes(daemon)
        for jpeg in jpegs:
            request = urllib.request.Request(url, jpeg, {"Content-Type": "image/jpeg"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.status == 200
        daemon.until(lambda: resident_bytes(daemon) < before + 20 * MB)
