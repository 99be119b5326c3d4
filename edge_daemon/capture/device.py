"""V4L2 cameras, read by OpenCV."""

from __future__ import annotations

import errno
import logging
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.capture.jpegs import CameraJpegs, device_jpeg
from edge_daemon.capture.sources import SourceAwayError, SourceSilentError, TimedImage
from edge_daemon.capture.v4l2 import (
    GRAY_16_BE,
    MJPG,
    READABLE,
    describe,
    frame_rates,
    prefers_mjpg,
    set_controls,
    shown_format,
    unreadable,
)
from edge_daemon.core.frame import Picture
from edge_daemon.core.picture import PictureRefused
from edge_daemon.core.types import ImageBgr, ImageGray

_DEEP_GRAYS: Final = frozenset({"Y16 ", GRAY_16_BE, "Y12 ", "Y10 "})  # of thermal cameras
_JPEGS: Final = frozenset({MJPG, "JPEG"})
_STRETCH_PERCENTILES: Final = (0.5, 99.5)
_LEAST_SPAN: Final = 64  # of 65,536 values; a smaller range is noise and is not stretched further

log = logging.getLogger(__name__)


class V4l2Device:
    """A V4L2 camera.

    `pixel_format` is the driver's FourCC, or "auto": MJPG where the other formats do not reach
    `fps` and MJPG is faster, else OpenCV's choice. `controls` are the driver's, by the names that
    v4l2-ctl shows. Buffers without a picture are skipped for up to `timeout_s`. Raises
    SourceAwayError if the camera is missing, in use, or refuses its settings.
    """

    fps = None

    def __init__(
        self,
        path: str,
        *,
        width: int,
        height: int,
        fps: float,
        timeout_s: float,
        pixel_format: str = "auto",
        controls: Mapping[str, object] | None = None,
    ) -> None:
        self.name = path
        self._timeout_s = timeout_s
        self._check_formats()
        if pixel_format == "auto":
            rates = frame_rates(Path(path), width, height)
            pixel_format = MJPG if prefers_mjpg(rates, fps) else ""
        # OpenCV reads this once in a process, when it waits for the first picture. The limit is a
        # little longer than our own.
        os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(math.ceil(timeout_s) + 1)
        self._jpegs = CameraJpegs()
        self._capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceAwayError(f"{path} {_why_closed(Path(path))}")
        self._set_up(width, height, fps, pixel_format)
        try:
            set_controls(Path(path), controls or {})
        except OSError as error:
            self._capture.release()
            raise SourceAwayError(f"{path}: {error}") from error

    def read(self) -> TimedImage | None:
        deadline_s = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline_s:
            if not self._capture.grab():
                return None
            try:
                ok, picture = self._capture.retrieve()
                if ok and picture is not None and picture.size:
                    return TimedImage(self._picture(np.asarray(picture)))
            except (cv2.error, PictureRefused) as error:
                log.debug("a frame of %s could not be decoded: %s", self.name, error)
        raise SourceSilentError(
            f"{self.name} sends only empty or damaged buffers: try another camera.pixel_format"
        )

    def close(self) -> None:
        self._capture.release()

    def _picture(self, buffer: NDArray[np.generic]) -> Picture:
        """Return the picture in `buffer`: (height, width, …), or one row of a JPEG's bytes."""
        if self._sends_jpeg and buffer.shape[0] == 1:
            return self._jpegs.picture(device_jpeg(buffer.tobytes()))
        if self._is_big_endian:
            buffer = buffer.byteswap()
        return Picture(as_bgr(buffer))

    def _check_formats(self) -> None:
        """Raise SourceAwayError if the camera has no format that OpenCV can decode."""
        self._formats: tuple[str, ...] = ()
        with suppress(OSError):  # opening the camera reports the reason
            self._formats = describe(Path(self.name)).formats
        if self._formats and not READABLE.intersection(self._formats):
            raise SourceAwayError(f"{self.name} {unreadable(self._formats)}")

    def _set_up(self, width: int, height: int, fps: float, pixel_format: str) -> None:
        if pixel_format:  # before the size, which the driver may refuse in another format
            code = cv2.VideoWriter.fourcc(*f"{pixel_format:<4}")
            self._capture.set(cv2.CAP_PROP_FOURCC, code)
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        self._capture.set(cv2.CAP_PROP_FPS, fps)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)  # fewer old frames after a pause
        granted = (
            int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1")
        )
        if pixel_format and granted.strip() != pixel_format.strip():
            log.warning(
                "camera.pixel_format: %s cannot be had of %s, which delivers %s; it offers %s",
                pixel_format.strip(),
                self.name,
                shown_format(granted) or "a format it does not name",
                ", ".join(map(shown_format, self._formats)) or "none by name",
            )
        self._sends_jpeg, self._is_big_endian = granted in _JPEGS, granted == GRAY_16_BE
        # OpenCV would decode every JPEG, and reduce 16-bit gray to its upper 8 bits, which hardly
        # change from pixel to pixel.
        if self._sends_jpeg or granted in _DEEP_GRAYS:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.mode = f"{shown_format(granted)} at {rate:g} fps"


def as_bgr(picture: NDArray[np.generic]) -> ImageBgr:
    """Convert a picture to BGR; 16-bit gray is stretched to its own range."""
    if picture.dtype == np.uint16:
        gray = stretched(picture.astype(np.uint16, copy=False))
        return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)
    if picture.ndim == 2:
        return np.asarray(cv2.cvtColor(np.asarray(picture, np.uint8), cv2.COLOR_GRAY2BGR), np.uint8)
    return np.asarray(picture, np.uint8)


def stretched(gray: NDArray[np.uint16]) -> ImageGray:
    """Map the range of values in 16-bit gray, (height, width), onto 8 bits."""
    low, high = np.percentile(gray[::4, ::4], _STRETCH_PERCENTILES)
    scale = 255 / max(high - low, _LEAST_SPAN)
    return np.asarray(np.clip((gray - low) * scale, 0, 255), np.uint8)


def _why_closed(node: Path) -> str:
    if not node.exists():
        return "does not exist"
    if not os.access(node, os.R_OK | os.W_OK):
        return "may not be opened by this user (is it in the group video?)"
    try:
        describe(node)
    except OSError as error:
        if error.errno in {errno.ENOTTY, errno.EINVAL}:
            return "is not a camera: set camera.source to a device like /dev/video0"
    return "cannot be opened (does another program use it?)"
