"""Checks the cameras of this machine and takes a test picture from the configured source."""

from __future__ import annotations

import errno
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from edge_daemon.capture.address import redacted
from edge_daemon.capture.reader import Reader
from edge_daemon.capture.sources import OpenSource, SourceAwayError, SourceError
from edge_daemon.capture.v4l2 import (
    READABLE,
    describe,
    device_controls,
    frame_rates,
    is_sensor_data,
    shown_format,
    unreadable,
)
from edge_daemon.core.types import ImageBgr
from edge_daemon.doctor.account import group_name, members, user_name
from edge_daemon.doctor.finding import Finding, edit, error, ok, warning

TIMEOUT_S: Final = 15.0  # for the first picture; "auto" tries several devices
POLL_S: Final = 0.2
USE_PICAMERA: Final = "set camera.source: picamera, if this is the board's own camera"
USE_RTSP: Final = "set camera.source: rtsp://… of a program that reads this camera"
PLUG_IN: Final = "lsusb  # should list the camera; if not, plug it in again or use another port"


def examine_cameras(
    nodes: Sequence[Path], pi_cameras: Sequence[str], *, source: str, width: int, height: int
) -> Iterator[Finding]:
    """List the cameras and their formats; report those that may not be opened."""
    found = [*_check_nodes(nodes, source=source, width=width, height=height)]
    found += [ok("camera", f"{name}, through picamera2") for name in pi_cameras]
    yield from found or [ok("camera", "no camera is connected to this machine")]


def _check_nodes(
    nodes: Sequence[Path], *, source: str, width: int, height: int
) -> Iterator[Finding]:
    for node in nodes:
        try:
            device = describe(node)
        except PermissionError:
            yield _forbidden(node, needed=source in {"auto", str(node)})
        except OSError as problem:
            if problem.errno not in {errno.ENODEV, errno.ENXIO, errno.ENOTTY}:
                yield warning("camera", f"{node}: {problem.strerror}", PLUG_IN)
        else:
            if not device.captures:
                continue
            if device.formats and not READABLE.intersection(device.formats):
                fix = USE_PICAMERA if is_sensor_data(device.formats) else USE_RTSP
                yield warning("camera", f"{node} {unreadable(device.formats)}", fix)
                continue
            formats = _formats(node, device.formats, width, height)
            yield ok("camera", f"{node} ({device.name}): {formats}{_controls(node)}")


def _controls(node: Path) -> str:
    """List the controls that camera.controls may set, with their ranges."""
    found = [f"{each.name} {each.minimum} to {each.maximum}" for each in device_controls(node)]
    return f"; controls: {', '.join(found)}" if found else ""


def examine_picture(
    build: Callable[[], OpenSource],
    *,
    source: str,
    timeout_s: float,
    others: Sequence[Path],
    config_file: Path,
) -> Finding:
    """Check that `source` delivers a picture; `others` are cameras of this machine.

    It has `timeout_s`, or TIMEOUT_S if that is longer.
    """
    shown, timeout_s = redacted(source), max(timeout_s, TIMEOUT_S)
    try:
        bgr, name, mode = _first_picture(build(), timeout_s)
    except SourceError as problem:
        return error("picture", str(problem), edit(config_file, "camera.source: auto"))
    except SourceAwayError as problem:
        return error("picture", str(problem), _remedy(source, others, config_file))
    if bgr is None:
        why = f"{shown} delivered no picture within {timeout_s:g} s"
        return error("picture", why, _remedy(source, others, config_file))
    if source == "auto" and name == "demo":
        why = "no camera delivers pictures; the built-in demo is shown until one does"
        return warning("picture", why, PLUG_IN)
    height, width = bgr.shape[:2]
    return ok("picture", f"{name} delivers {width}×{height} {mode}".rstrip())


def _first_picture(open_source: OpenSource, timeout_s: float) -> tuple[ImageBgr | None, str, str]:
    """Return a picture, and the name and mode of its source; None on timeout."""
    reader = Reader(open_source)
    until_s = time.monotonic() + timeout_s
    try:
        while time.monotonic() < until_s:
            image = reader.next(POLL_S)
            if image is not None and reader.source is not None:
                return image.picture.bgr, reader.source.name, reader.source.mode
    except EOFError:
        pass
    finally:
        reader.leave(POLL_S)
    return None, "", ""


def _remedy(source: str, others: Sequence[Path], config_file: Path) -> str:
    path = Path(source)
    if path.is_relative_to("/dev"):
        if path.exists():
            return f"sudo fuser -v {shlex.quote(source)}  # shows which program uses it; stop that"
        another = next((str(node) for node in others), "")
        return edit(config_file, f"camera.source: {another}") if another else PLUG_IN
    if "://" in source:
        return edit(config_file, "camera.source: an address that plays in ffplay or VLC")
    return PLUG_IN


def _forbidden(node: Path, *, needed: bool) -> Finding:
    """Report who may open `node`, and how this user gets the permission."""
    status = node.stat()
    group, user = group_name(status.st_gid), user_name()
    if status.st_gid == 0 or status.st_mode & 0o060 != 0o060:
        why = f"{node} has the group {group} and the mode {status.st_mode & 0o777:o}"
        quoted = shlex.quote(str(node))
        remedy = f"sudo chgrp video {quoted} && sudo chmod g+rw {quoted}"
    elif user in members(status.st_gid):
        why = f"{node} needs the group {group}; {user} is a member only after the next login"
        remedy = f"exec su - {user}"
    else:
        why = f"{node} needs the group {group}; {user} is not a member"
        remedy = f"sudo usermod -aG {group} {user}  # then log in again"
    finding = error if needed else warning
    return finding("permission", why, remedy)


def _formats(node: Path, formats: Sequence[str], width: int, height: int) -> str:
    """List the formats, with their frame rates at this size."""
    rates = frame_rates(node, width, height)
    listed = [
        f"{shown_format(each)} {rates[each]:g} frames/s"
        if each in rates
        else f"{shown_format(each)} —"
        for each in formats
    ]
    return f"at {width}×{height} {', '.join(listed) or 'no format'}"
