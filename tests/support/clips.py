"""Writes short videos for tests."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_clip(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    times_s: Sequence[float] | None = None,
    fps: int = 10,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    container_format: str | None = None,
) -> Path:
    """Write `pictures` (BGR, all of one size) as a video, with times `times_s` or at `fps`."""
    with av.open(path, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=fps)
        assert isinstance(stream, av.VideoStream)
        height, width = pictures[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, bgr in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_clip(path: Path) -> tuple[list[NDArray[np.uint8]], list[float]]:
    """Return the pictures (BGR) of a video and the time of each."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
        pictures = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]
        return pictures, [frame.time or 0.0 for frame in frames]
