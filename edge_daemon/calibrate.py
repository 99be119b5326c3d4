"""`mien calibrate`: records a face at rest from the camera, without the daemon."""

from __future__ import annotations

import time
from typing import Final

from edge_daemon.capture.part import CameraPart
from edge_daemon.config.schema import Config, overridden
from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.threads import Stop
from edge_daemon.core.types import Frame, View
from edge_daemon.events.feed import EventFeed
from edge_daemon.pipeline.build import calibration_file
from edge_daemon.pipeline.calibration import NEUTRAL, Calibrator
from edge_daemon.pipeline.part import PipelinePart

POLL_S: Final = 0.1
PATIENCE_S: Final = 30.0  # the longest time without a face, besides the recording itself


def record(config: Config, duration_s: float) -> str:
    """Record for `duration_s`, write the calibration, and return a line that describes it.

    Raises UserError if the camera delivers no face.
    """
    stop = Stop()
    frames: Latest[Frame] = Latest()
    views: Latest[View] = Latest()
    camera = CameraPart(config, frames=frames, on_failure=stop.fail)
    pipeline = PipelinePart(
        overridden(config, {"smoothing.calibration": True}),
        run_id="",
        check=lambda model, runtime: None,
        frames=frames,
        views=views,
        feed=EventFeed([]),
        shots=Backlog(1),
        notice=lambda: camera.notice,
        observe=lambda stage, took_s: None,
        on_failure=stop.fail,
    )
    pipeline.calibrator.start(duration_s)
    pipeline.start()
    camera.start()
    try:
        _wait(pipeline.calibrator, camera, stop, duration_s + PATIENCE_S)
    finally:
        camera.stop()
        pipeline.stop()
    made = pipeline.calibrator.calibration
    if made is None:
        raise UserError(f"calibration: {pipeline.calibrator.trouble or 'the recording failed.'}")
    biases = ", ".join(f"{label} {value:+.2f}" for label, value in made.bias.items() if value)
    return f"recorded from {made.samples} samples; bias: {biases or 'none is needed'}"


def remove(config: Config) -> str:
    """Remove the calibration; return a line that says what was removed. Raises UserError."""
    file = calibration_file(overridden(config, {"smoothing.calibration": True}), (NEUTRAL,))
    try:
        if file is None or not file.exists():
            return "there is no calibration"
        file.unlink()
    except OSError as error:
        raise UserError(f"{file}: cannot be removed: {reason_of(error)}.") from error
    return f"{file}: removed"


def _wait(calibrator: Calibrator, camera: CameraPart, stop: Stop, limit_s: float) -> None:
    """Wait for the end of the recording. Raises UserError if the camera delivers no face.

    The demo is recorded only if it is the configured source.
    """
    until_s = time.monotonic() + limit_s
    while calibrator.is_recording:
        if stop.failure is not None:
            raise UserError(f"the recording failed: {reason_of(stop.failure)}.")
        if camera.report()["camera"]["no_camera_found"]:
            raise UserError(
                "no camera on this machine delivers a picture; "
                "fix: connect one, or name the source with --set camera.source=…"
            )
        if trouble := camera.trouble():
            raise UserError(
                f"{trouble}; if the daemon uses the camera, record on its page instead."
            )
        if camera.has_ended or time.monotonic() > until_s:
            raise UserError(
                "no face was seen for long enough, so nothing was recorded; face the camera in "
                "good light and try again."
            )
        stop.event.wait(POLL_S)
