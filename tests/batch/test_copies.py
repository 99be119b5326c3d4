"""Tests annotated copies: their content, their times, and playback in a browser."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from support.clips import read_clip

from edge_daemon.batch.copies import VideoCopy, write_picture
from edge_daemon.capture.demo.scene import Demo
from edge_daemon.core.frame import Picture
from edge_daemon.core.picture import decode_picture
from edge_daemon.core.types import Frame, View

TIMES_S = [0.0, 0.04, 0.08, 0.5, 1.5, 1.501, 3.25]


def shown(bgr: NDArray[np.uint8], time_s: float) -> View:
    return View(Frame(1, Picture(bgr), time_s, datetime.now(UTC)))


def copy_of(path: Path, pictures: list[NDArray[np.uint8]], times_s: list[float]) -> Path:
    copy = VideoCopy(path, 25)
    for bgr, time_s in zip(pictures, times_s, strict=True):
        copy.put(shown(bgr, time_s))
    copy.close()
    return path


@pytest.fixture(scope="module")
def scenes() -> list[NDArray[np.uint8]]:
    demo = Demo(320, 240)
    return [demo.render(n / 5) for n in range(len(TIMES_S))]


def test_every_frame_keeps_its_time(scenes: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    path = copy_of(tmp_path / "in" / "copy.mp4", scenes, TIMES_S)
    pictures, times_s = read_clip(path)
    assert times_s == pytest.approx(TIMES_S, abs=1e-3)
    for bgr, sent in zip(pictures, scenes, strict=True):
        assert np.abs(bgr.astype(int) - sent).mean() < 4
    with av.open(path) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize(("width", "height"), [(321, 240), (320, 239), (17, 33), (1, 1)])
def test_no_row_and_no_column_is_lost(width: int, height: int, tmp_path: Path) -> None:
    """H.264 has even sides only: the last row or column is there twice."""
    bgr = np.full((height, width, 3), 40, np.uint8)
    bgr[-1:, :] = bgr[:, -1:] = 220
    pictures, _ = read_clip(copy_of(tmp_path / "copy.mp4", [bgr] * 3, [0.0, 0.1, 0.2]))
    copied = pictures[-1]
    assert copied.shape[:2] == (height + height % 2, width + width % 2)
    assert np.abs(copied[:height, :width].astype(int) - bgr).mean() < 12
    assert copied[-1].mean() > 150
    assert copied[:, -1].mean() > 150


def test_frames_of_another_size_are_scaled(scenes: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    other = Demo(200, 150).render(0.0)
    pictures, _ = read_clip(copy_of(tmp_path / "copy.mp4", [scenes[0], other], [0.0, 0.1]))
    assert [bgr.shape for bgr in pictures] == [(240, 320, 3)] * 2


def test_a_browser_plays_a_copy(
    chromium: Any, scenes: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    content = copy_of(tmp_path / "copy.mp4", scenes, TIMES_S).read_bytes()
    page = chromium.new_page()
    source = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
    played = page.evaluate(
        """source => new Promise((resolve, reject) => {
            const video = document.createElement("video");
            video.muted = true;
            video.onerror = () => reject(video.error.message);
            video.onseeked = () => resolve([video.videoWidth, video.videoHeight, video.duration]);
            video.onloadeddata = () => { video.currentTime = 1; };
            video.src = source;
        })""",
        source,
    )
    page.close()
    assert played[:2] == [320, 240]
    assert played[2] == pytest.approx(3.25, abs=0.1)


@pytest.mark.parametrize("suffix", [".jpg", ".JFIF", ".jpe", ".png", ".webp", ".bmp", ".tif"])
def test_pictures_are_encoded_as_their_suffix_says(
    suffix: str, scenes: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    path = tmp_path / "in" / f"copy{suffix}"
    write_picture(path, scenes[0])
    picture = decode_picture(path.read_bytes())
    assert np.abs(picture.bgr.astype(int) - scenes[0]).mean() < 3
    kinds = {".png": "PNG", ".webp": "WebP", ".bmp": "BMP", ".tif": "TIFF"}
    assert picture.format == kinds.get(suffix, "JPEG")
