"""Writes annotated copies: pictures in a usual format, videos as MP4 that browsers play."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from edge_daemon.core.types import ImageBgr, View
from edge_daemon.draw.annotate import annotate
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.pipeline.privacy import ViewDelay

if TYPE_CHECKING:  # at run time, PyAV is imported only to write a video
    from av.container import OutputContainer
    from av.video.stream import VideoStream

JPEG_QUALITY: Final = 95
JPEG_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
TICKS_PER_S: Final = 90_000  # the clock of a copy, the usual one in MPEG
ENCODER: Final = {"preset": "veryfast", "crf": "20"}  # 18 would be visually lossless
FRONT_INDEX: Final = {"movflags": "+faststart"}  # playback can start during the download
BT601: Final = 6  # the color space that swscale converts BGR to


def write_picture(path: Path, bgr: ImageBgr) -> None:
    """Write `bgr` in the format of the suffix. Raises OSError."""
    suffix = path.suffix.lower()
    if suffix in JPEG_SUFFIXES:
        content = encode_jpeg(bgr, quality=JPEG_QUALITY)
    else:
        ok, encoded = cv2.imencode(suffix, bgr)
        if not ok:
            raise OSError(f"the copy {path} could not be encoded")
        content = encoded.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


class VideoCopy:
    """Writes a silent H.264 video in MP4; every frame is annotated and keeps its time.

    Browsers play H.264 with subsampled colors, whose width and height must be even. The last row or
    column of a frame with odd sides is therefore repeated. Frames that differ in size from the
    first one are scaled to its size.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._delay = ViewDelay()
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._last_ticks = -1

    def put(self, view: View) -> None:
        """Draw and append `view`. Raises OSError."""
        for shown in self._delay.put(view):
            self._write(shown)

    def close(self) -> None:
        """Write the delayed frames and finish the file."""
        for shown in self._delay.flush():
            self._write(shown)
        if self._container is not None and self._stream is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()

    def _write(self, view: View) -> None:
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


def _with_even_sides(bgr: ImageBgr) -> ImageBgr:
    height, width = bgr.shape[:2]
    if height % 2 == width % 2 == 0:
        return bgr
    padded = cv2.copyMakeBorder(bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8)
