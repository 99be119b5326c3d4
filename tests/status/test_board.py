"""The kernel files of a board, in a folder in place of /sys, and throttling by them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from support.board import pi, write

from edge_daemon.config.file import ConfigSource
from edge_daemon.config.schema import Config
from edge_daemon.core.frame import Picture
from edge_daemon.core.threads import Stop
from edge_daemon.core.types import Frame
from edge_daemon.pipeline.throttle import HOLD_S, Throttle, min_gap_s, throttled_until_s
from edge_daemon.settings import SettingsEditor
from edge_daemon.status.board import Board
from edge_daemon.updates.guard import ModelGuard
from edge_daemon.wiring import build


def test_a_raspberry_pi_reports_temperature_and_limits(tmp_path: Path) -> None:
    status = Board(pi(tmp_path, "50005\n")).status
    assert status.temperatures_c == {"thermal_zone0 cpu-thermal": 61.835}
    assert status.limits == ("under_voltage", "throttled")
    assert status.limits_before == ("under_voltage", "throttled")


def test_past_limits_differ_from_present_ones(tmp_path: Path) -> None:
    board = Board(pi(tmp_path, "e0008\n"))
    hot = board.status
    assert hot.limits == ("soft_temperature_limit",)
    assert hot.limits_before == ("frequency_capped", "throttled", "soft_temperature_limit")
    write(tmp_path / "devices/platform/soc/soc:firmware/get_throttled", "0\n")
    fine = board.read()
    assert (fine.limits, fine.limits_before) == ((), ())
    assert board.status == fine


def test_other_kernels_report_only_the_voltage(tmp_path: Path) -> None:
    write(tmp_path / "class/hwmon/hwmon0/name", "cpu_thermal\n")
    write(tmp_path / "class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path / "class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert Board(tmp_path).status.limits == ("under_voltage",)


def test_a_board_without_these_files_is_no_error(tmp_path: Path) -> None:
    zone = tmp_path / "class/thermal/thermal_zone0"
    write(zone / "type", "acpitz\n")
    write(zone / "temp", "not known\n")
    status = Board(tmp_path).status
    assert (status.temperatures_c, status.limits, status.limits_before) == ({}, None, None)


def test_throttling_lasts_for_a_while_after_the_last_limit() -> None:
    assert throttled_until_s(0.0, (), 100.0) == 0.0
    assert throttled_until_s(0.0, None, 100.0) == 0.0
    until_s = throttled_until_s(0.0, ("throttled",), 100.0)
    assert until_s == 100.0 + HOLD_S
    assert throttled_until_s(until_s, (), 101.0) == until_s


def processed(throttle: Throttle, *, busy_s: float, camera_fps: float, seconds: float) -> int:
    """Count the frames processed by a pipeline that takes `busy_s` for each newest frame."""
    picture = np.zeros((2, 2, 3), np.uint8)
    done, free_s = 0, 0.0
    for number in range(int(seconds * camera_fps)):
        captured_s = number / camera_fps
        if captured_s < free_s:
            continue
        frame = Frame(number + 1, Picture(picture), captured_s, datetime.now(UTC))
        if throttle.due(frame):
            throttle.processed(frame, busy_s)
            done, free_s = done + 1, captured_s + busy_s
    return done


@pytest.mark.parametrize(("busy_s", "usual"), [(0.01, 150), (0.199, 50)])
def test_throttling_halves_the_rate_of_a_slow_camera_and_of_a_slow_board(
    busy_s: float, usual: int
) -> None:
    throttle = Throttle()
    assert processed(throttle, busy_s=busy_s, camera_fps=15, seconds=10) == usual
    assert throttle.skipped == 0
    throttle = Throttle()
    throttle.update(("throttled",), 100.0)
    assert abs(processed(throttle, busy_s=busy_s, camera_fps=15, seconds=10) - usual / 2) <= 1
    assert throttle.skipped > 0


def test_the_gap_follows_the_slower_of_camera_and_board() -> None:
    assert min_gap_s(0.066, 0.01) == 2 * 0.066
    assert min_gap_s(0.066, 0.2) == 0.4


def test_the_pipeline_drops_frames_while_the_board_is_throttled(
    tmp_path: Path, media_dir: Path, blazeface_dir: Path
) -> None:
    settings = {
        "model": str(blazeface_dir / "expression.tflite"),
        "camera": {"source": str(media_dir / "two-people-tilting.mp4"), "loop": False},
        "events": {"path": str(tmp_path / "events.jsonl")},
    }
    stop = Stop()
    editor = SettingsEditor(ConfigSource(None), SimpleQueue(), stop.event)
    daemon = build(Config.model_validate(settings), stop, "test", ModelGuard(None), editor)
    daemon.pipeline.limit(("throttled",))
    parts = (daemon.event_log, daemon.pipeline, daemon.camera)
    for part in parts:
        part.start()
    while not daemon.camera.has_ended and stop.failure is None:
        stop.event.wait(0.02)
    frames = daemon.report.state()["frames"]
    for part in reversed(parts):
        part.stop()
    assert stop.failure is None
    done, skipped = frames["processed"], frames["skipped"]
    assert abs(done + skipped + frames["overwritten"] - frames["captured"]) <= 1
    assert skipped >= done - 1 > 5


def test_throttling_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    throttle = Throttle()
    for at_s in (100.0, 101.0, 102.0):
        throttle.update(("under_voltage", "throttled"), at_s)
    active = []
    for at_s in (101.0 + HOLD_S, 102.0 + HOLD_S, 103.0 + HOLD_S):
        throttle.update((), at_s)
        active.append(throttle.active)
    assert active == [True, False, False]
    assert [record.getMessage() for record in caplog.records] == [
        "the board is throttled (under_voltage, throttled): half of the frames are dropped",
        "the board is no longer throttled: all frames are processed again",
    ]
