"""Writes annotated copies: pictures in a common format, videos as MP4 that browsers can play."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from edge_daemon.core.errors import UserError
from edge_daemon.core.files import replace_file
from edge_daemon.core.types import ImageBgr, View
from edge_daemon.draw.annotate import annotate
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.pipeline.privacy import ViewDelay

if TYPE_CHECKING:  # at run time, PyAV is imported only to write a video
    from av.container import OutputContainer
    from av.video.stream import VideoStream

JPEG_QUALITY: Final = 95
JPEG_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
TICKS_PER_S: Final = 90_000  # the clock of a copy, the common one in MPEG
ENCODER: Final = {"preset": "veryfast", "crf": "20"}  # 18 would be visually lossless
FRONT_INDEX: Final = {"movflags": "+faststart"}  # playback can start during the download
BT601: Final = 6  # the color space that swscale converts BGR to


class CopyError(UserError):
    """An annotated copy cannot be written; the message names it."""


def write_picture(path: Path, bgr: ImageBgr) -> None:
    """Write `bgr` in the format of the suffix. Raises CopyError, and leaves no incomplete file."""
    suffix = path.suffix.lower()
    if suffix in JPEG_SUFFIXES:
        content = encode_jpeg(bgr, quality=JPEG_QUALITY)
    else:
        ok, encoded = cv2.imencode(suffix, bgr)
        if not ok:
            raise CopyError(f"the copy {path} cannot be encoded")
        content = encoded.tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content, sync=False)
    except OSError as error:
        raise _copy_error(path, error) from error


class VideoCopy:
    """Writes a silent H.264 video in MP4; every frame is annotated and keeps its time.

    Browsers play H.264 with subsampled colors, whose width and height must be even. The last row or
    column of a frame with odd sides is therefore repeated. Frames that differ in size from the
    first one are scaled to its size.

    If it cannot be written, the rest is skipped: `failure` says why, and the file is deleted.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._delay = ViewDelay()
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._last_ticks = -1
        self.failure: CopyError | None = None

    def put(self, view: View) -> None:
        """Draw and append `view`."""
        self._write(self._delay.put(view))

    def close(self) -> None:
        """Write the delayed frames and finish the file."""
        self._write(self._delay.flush())
        if self.failure is not None or self._container is None or self._stream is None:
            return
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        except OSError as error:
            self._fail(error)

    def _write(self, views: Iterable[View]) -> None:
        if self.failure is not None:
            return
        try:
            for view in views:
                self._append(view)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failure = _copy_error(self._path, error)
        if self._container is not None:
            with suppress(OSError):  # it writes its index, for which there is no room either
                self._container.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _append(self, view: View) -> None:
        bgr = annotate(view)
        if self._container is None or self._stream is None:
            self._container, self._stream = self._open(bgr)
        if bgr.shape[1::-1] != self._size:
            bgr = np.asarray(cv2.resize(bgr, self._size), np.uint8)
        from av import VideoFrame  # noqa: PLC0415

        frame = VideoFrame.from_ndarray(_with_even_sides(bgr), format="bgr24")
        frame.pts = max(round(view.frame.captured_s * TICKS_PER_S), self._last_ticks + 1)
        frame.time_base = Fraction(1, TICKS_PER_S)
        self._last_ticks = frame.pts
        self._container.mux(self._stream.encode(frame))

    def _open(self, bgr: ImageBgr) -> tuple[OutputContainer, VideoStream]:
        import av  # noqa: PLC0415

        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._size = bgr.shape[1], bgr.shape[0]
        height, width = _with_even_sides(bgr).shape[:2]
        container = av.open(self._path, "w", format="mp4", options=FRONT_INDEX)
        rate = Fraction(self._fps).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        stream.codec_context.colorspace = BT601
        return container, stream


def _copy_error(path: Path, error: OSError) -> CopyError:
    return CopyError(f"the copy {path} cannot be written: {error.strerror or error}")


def _with_even_sides(bgr: ImageBgr) -> ImageBgr:
    height, width = bgr.shape[:2]
    if height % 2 == width % 2 == 0:
        return bgr
    padded = cv2.copyMakeBorder(bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8)
