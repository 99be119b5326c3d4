"""V4L2 without a device: which nodes are none, and when MJPG is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.capture.v4l2 import capture_devices, frame_rates, prefers_mjpg


def test_what_is_no_camera_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "video0").write_text("a file")
    (tmp_path / "video-of-me").write_text("another")
    assert capture_devices(tmp_path) == []
    assert frame_rates(tmp_path / "video0", 640, 480) == {}
    assert frame_rates(tmp_path / "video1", 640, 480) == {}


@pytest.mark.parametrize(
    ("rates", "fps", "mjpg"),
    [
        ({"YUYV": 30.0, "MJPG": 30.0}, 30.0, False),  # a usual webcam at 640×480
        ({"YUYV": 10.0, "MJPG": 30.0}, 15.0, True),  # and at 1280×720
        ({"YUYV": 10.0, "MJPG": 30.0}, 10.0, False),
        ({"YUYV": 10.0, "MJPG": 30.0}, 60.0, True),  # nearer than ten
        ({"YUYV": 30.0}, 60.0, False),
        ({"MJPG": 30.0}, 15.0, True),
        ({}, 15.0, False),  # a driver that does not say
    ],
)
def test_mjpg_where_only_it_is_fast_enough(rates: dict[str, float], fps: float, mjpg: bool) -> None:
    assert prefers_mjpg(rates, fps) is mjpg
