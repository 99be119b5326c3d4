"""Video nodes and the configured source in, what they are and a test picture out."""

from __future__ import annotations

import errno
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from edge_daemon.capture.opener import OpenSource
from edge_daemon.capture.reader import Reader
from edge_daemon.capture.sources import SourceAwayError, SourceError, redacted
from edge_daemon.capture.v4l2 import describe, frame_rates
from edge_daemon.core.types import ImageBgr
from edge_daemon.doctor.account import group_name, members, user_name
from edge_daemon.doctor.finding import Finding, edit, error, ok, warning

PATIENCE_S: Final = 15.0  # for the first picture; "auto" tries several devices
POLL_S: Final = 0.2
LOOK: Final = "lsusb  # should list the camera; else plug it in again, or somewhere else"


def examine_cameras(
    nodes: Sequence[Path], pi_cameras: Sequence[str], *, source: str, width: int, height: int
) -> Iterator[Finding]:
    """What cameras there are and which formats they have; whether they may be opened."""
    found = [*_nodes(nodes, source=source, width=width, height=height)]
    found += [ok("camera", f"{name}, by picamera2") for name in pi_cameras]
    yield from found or [ok("camera", "none is attached to this machine")]


def _nodes(nodes: Sequence[Path], *, source: str, width: int, height: int) -> Iterator[Finding]:
    for node in nodes:
        try:
            device = describe(node)
        except PermissionError:
            yield _forbidden(node, needed=source in {"auto", str(node)})
        except OSError as wrong:
            if wrong.errno not in {errno.ENODEV, errno.ENXIO, errno.ENOTTY}:
                yield warning("camera", f"{node}: {wrong.strerror}", LOOK)
        else:
            if device.captures:
                formats = _formats(node, device.formats, width, height)
                yield ok("camera", f"{node} ({device.name}): {formats}")


def examine_picture(
    build: Callable[[], OpenSource], *, source: str, others: Sequence[Path], config_file: Path
) -> Finding:
    """Whether the configured `source` gives a picture; `others` are cameras there are."""
    shown = redacted(source) if "://" in source else source
    try:
        bgr, name, mode = _first_picture(build())
    except SourceError as wrong:
        return error("picture", str(wrong), edit(config_file, "camera.source: auto"))
    except SourceAwayError as wrong:
        return error("picture", str(wrong), _remedy(source, others, config_file))
    if bgr is None:
        why = f"{shown} gave no picture within {PATIENCE_S:g} s, or none at all"
        return error("picture", why, _remedy(source, others, config_file))
    if source == "auto" and name == "demo":
        why = "no camera delivers a picture; the built-in demo is shown until one does"
        return warning("picture", why, LOOK)
    height, width = bgr.shape[:2]
    return ok("picture", f"{name} gives {width}×{height} {mode}".rstrip())


def _first_picture(open_source: OpenSource) -> tuple[ImageBgr | None, str, str]:
    """The picture, and the source's name and mode; None where there is none in time."""
    reader = Reader(open_source)
    until_s = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < until_s:
            bgr = reader.next(POLL_S)
            if bgr is not None and reader.source is not None:
                return bgr, reader.source.name, reader.source.mode
    except EOFError:
        pass
    finally:
        reader.leave(POLL_S)
    return None, "", ""


def _remedy(source: str, others: Sequence[Path], config_file: Path) -> str:
    path = Path(source)
    if path.is_relative_to("/dev"):
        if path.exists():
            return f"sudo fuser -v {shlex.quote(source)}  # shows who has it: end that"
        another = next((str(node) for node in others), "")
        return edit(config_file, f"camera.source: {another}") if another else LOOK
    if "://" in source:
        return edit(config_file, "camera.source: the address that a player shows it under")
    return LOOK


def _forbidden(node: Path, *, needed: bool) -> Finding:
    """Who may open `node`, and how this user comes to."""
    status = node.stat()
    group, user = group_name(status.st_gid), user_name()
    if status.st_gid == 0 or status.st_mode & 0o060 != 0o060:
        why = f"{node} belongs to the group {group}, and its mode is {status.st_mode & 0o777:o}"
        quoted = shlex.quote(str(node))
        remedy = f"sudo chgrp video {quoted} && sudo chmod g+rw {quoted}"
    elif user in members(status.st_gid):
        why = f"{node} is for the group {group}, which {user} is in only from the next login on"
        remedy = f"exec su - {user}"
    else:
        why = f"{node} is for the group {group}, which {user} is not in"
        remedy = f"sudo usermod -aG {group} {user}  # then log in anew"
    make = error if needed else warning
    return make("permission", why, remedy)


def _formats(node: Path, formats: Sequence[str], width: int, height: int) -> str:
    """The formats, with the rate of those that there are at this size."""
    rates = frame_rates(node, width, height)
    told = [
        f"{each} {rates[each]:g} frames/s" if each in rates else f"{each} —" for each in formats
    ]
    return f"at {width}×{height} {', '.join(told) or 'no format'}"
