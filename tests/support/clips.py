"""Short videos for tests, written by FFmpeg, and what is read from them.

The fixtures are known to all tests: `tests/conftest.py` names this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.capture.sources import SourceError
from edge_daemon.capture.video import VideoFile
from edge_daemon.core.types import ImageBgr

FRAMES, FPS = 24, 12
EncodeVideo = Callable[..., Path]


@pytest.fixture(scope="session")
def demo_pictures() -> list[ImageBgr]:
    """Return the demo's first two seconds, 320×240 pixels."""
    demo = Demo(320, 240)
    return [demo.render(n / FPS) for n in range(FRAMES)]


@pytest.fixture
def encode_video(tmp_path: Path, demo_pictures: list[ImageBgr]) -> EncodeVideo:
    """Return a function that writes `demo_pictures` as `write_clip` does and returns the path."""

    def encode(name: str, codec: str = "libx264", **more: Any) -> Path:
        return write_clip(tmp_path / name, demo_pictures, fps=FPS, codec=codec, **more)

    return encode


def write_clip(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    times_s: Sequence[float] | None = None,
    fps: int = 10,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    container_format: str | None = None,
    aspect: Fraction | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write `pictures` (BGR, all of one size) as a video, with times `times_s` or at `fps`."""
    with av.open(path, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        assert isinstance(stream, av.VideoStream)
        height, width = pictures[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for number, bgr in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_clip(path: Path) -> tuple[list[NDArray[np.uint8]], list[float]]:
    """Return the pictures (BGR) and the times of a video as FFmpeg reads it."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
        pictures = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]
        return pictures, [frame.time or 0.0 for frame in frames]


def remuxed(path: Path, options: dict[str, str]) -> Path:
    """Return the same video in a new MP4 file, written with other options."""
    target = path.with_name("remuxed.mp4")
    with av.open(path) as source, av.open(target, "w", options=options) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return target


def read_video(path: Path) -> tuple[list[ImageBgr], list[float]]:
    """Return the pictures (BGR) and the times of a video as the daemon reads it."""
    images = list(VideoFile(path).frames())
    return [image.picture.bgr for image in images], [image.time_s or 0.0 for image in images]


def read_until_error(path: Path) -> tuple[list[float], str]:
    """Return the times of the frames that can be read, and the sentence after them."""
    times_s: list[float] = []
    with pytest.raises(SourceError) as caught:
        for image in VideoFile(path).frames():
            times_s.append(image.time_s or 0.0)
    return times_s, str(caught.value)
