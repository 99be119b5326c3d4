"""Sources: what pictures come from, all read the same way.

In: a device, an address, a path. Out: BGR pictures, one `read()` each. `Camera` runs them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import cv2
import numpy as np

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.capture.v4l2 import MJPG, frame_rates, prefers_mjpg
from edge_daemon.core.errors import UserError
from edge_daemon.core.types import ImageBgr

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})

_NET_TIMEOUT_MS = 5000  # OpenCV's own is 30 s
_IMAGE_FPS, _IMAGE_FRAMES = 5.0, 15  # each image stands for 3 s, long enough to settle on a label

log = logging.getLogger(__name__)


class SourceError(UserError):
    """A source that can never work as it is named: a mistake in the configuration."""


class SourceAwayError(OSError):
    """A source that does not answer now, and may later."""


@dataclass(frozen=True, slots=True)
class TimedImage:
    """One picture of a source; `time_s` is the source's own time of it, None where it has none."""

    bgr: ImageBgr
    time_s: float | None = None


class Source(Protocol):
    """Something pictures are read from, by one thread."""

    @property
    def name(self) -> str:
        """What it is, fit for a log: without user names, passwords and keys."""

    @property
    def fps(self) -> float | None:
        """The pace it should be read at; None for a live camera, which sets its own."""

    @property
    def mode(self) -> str:
        """How it delivers, for the log: a format or a rate; may be empty."""

    def read(self) -> TimedImage | None:
        """The next picture, new memory each time; None at the end, or when a camera fails.

        May block for as long as the driver or the network pleases.
        """

    def close(self) -> None:
        """Give the device or connection back."""


OpenSource = Callable[[], Source]


class DemoSource:
    """The built-in demo scene."""

    name = "demo"
    mode = ""

    def __init__(self, *, width: int, height: int, fps: float) -> None:
        self.fps = fps
        self._demo = Demo(width, height)
        self._count = 0

    def read(self) -> TimedImage:
        time_s = self._count / self.fps
        self._count += 1
        return TimedImage(self._demo.render(time_s), time_s)

    def close(self) -> None:
        pass


class ImageFiles:
    """Images shown one after the other, each for a few seconds; broken ones are skipped."""

    fps = _IMAGE_FPS
    mode = ""

    def __init__(self, name: str, paths: list[Path], *, loop: bool) -> None:
        self.name = name
        self._paths = paths
        self._loop = loop
        self._next = 0
        self._shown: ImageBgr | None = None
        self._left = 0

    def read(self) -> TimedImage | None:
        if self._left == 0:
            self._shown = self._load()
            self._left = _IMAGE_FRAMES
        self._left -= 1
        return None if self._shown is None else TimedImage(self._shown.copy())

    def close(self) -> None:
        pass

    def _load(self) -> ImageBgr | None:
        """The next image that can be decoded; None after the last, or when none of them can."""
        for _ in self._paths:
            if self._next == len(self._paths):
                if not self._loop:
                    return None
                self._next = 0
            path = self._paths[self._next]
            self._next += 1
            bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if bgr is not None:
                return np.asarray(bgr, np.uint8)
            log.warning("%s is not an image that OpenCV can read: skipped", path)
        return None


class VideoSource:
    """A video file, played once or, with `loop`, again and again.

    Raises SourceError where it cannot be decoded; played once, also at its end if it is cut off.
    """

    fps: float
    mode = ""

    def __init__(self, path: Path, *, loop: bool) -> None:
        from edge_daemon.capture.video import VideoFile  # noqa: PLC0415 (PyAV takes 0.2 s)

        self.name = str(path)
        self._file = VideoFile(path)
        self.fps = self._file.fps
        self._loop = loop
        self._frames = self._file.frames()
        self._is_warned = False
        self._start_s = self._last_s = 0.0

    def read(self) -> TimedImage | None:
        image = self._next()
        if image is None and self._loop:
            self._start_s = self._last_s + 1 / self.fps
            self._frames = self._file.frames()
            image = self._next()
        if image is None:
            return None
        self._last_s = self._start_s + (image.time_s or 0.0)
        return TimedImage(image.bgr, self._last_s)

    def close(self) -> None:
        self._frames.close()

    def _next(self) -> TimedImage | None:
        try:
            return next(self._frames, None)
        except SourceError as error:
            if not self._loop:
                raise
            if not self._is_warned:
                log.warning("%s", error)
                self._is_warned = True
            return None


class Device:
    """A V4L2 camera. SourceAwayError while it is missing or in use.

    `pixel_format` is the driver's four-letter name of one, or "auto": MJPG where it gives more
    frames a second than the rest and these do not give `fps`, else what OpenCV takes of itself.
    """

    fps = None

    def __init__(
        self, path: str, *, width: int, height: int, fps: float, pixel_format: str = "auto"
    ) -> None:
        self.name = path
        if pixel_format == "auto":
            rates = frame_rates(Path(path), width, height)
            pixel_format = MJPG if prefers_mjpg(rates, fps) else ""
        self._capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceAwayError(f"{path} {_why_shut(Path(path))}")
        if pixel_format:  # before the size, which the driver may refuse in another format
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*pixel_format))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        self._capture.set(cv2.CAP_PROP_FPS, fps)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)  # fewer old frames after a pause
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.mode = f"{code.decode('latin-1')} at {rate:g} fps"

    def read(self) -> TimedImage | None:
        return _read(self._capture)

    def close(self) -> None:
        self._capture.release()


class Network:
    """A stream that FFmpeg reads, as RTSP. SourceAwayError while it does not answer."""

    fps = None
    mode = ""

    def __init__(self, url: str) -> None:
        self.name = redacted(url)
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _NET_TIMEOUT_MS]
        timeouts += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, _NET_TIMEOUT_MS]
        self._capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, timeouts)
        if not self._capture.isOpened():
            raise SourceAwayError(f"{self.name} does not answer with a video stream")

    def read(self) -> TimedImage | None:
        return _read(self._capture)

    def close(self) -> None:
        self._capture.release()


def redacted(url: str) -> str:
    """The address without user, password and query, where cameras take their keys."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + ("?…" if parts.query else "")


def _why_shut(node: Path) -> str:
    if not node.exists():
        return "is not there"
    if not os.access(node, os.R_OK | os.W_OK):
        return "may not be opened by this user (is it in the group video?)"
    return "cannot be opened (in use?)"


def _read(capture: cv2.VideoCapture) -> TimedImage | None:
    try:
        ok, bgr = capture.read()
    except cv2.error as error:  # a driver that delivers rubbish
        log.debug("OpenCV could not read a frame: %s", error)
        return None
    return TimedImage(np.asarray(bgr, np.uint8)) if ok and bgr is not None and bgr.size else None
