"""Tests video files of every kind: frames, times, shapes and names."""

from __future__ import annotations

import gc
import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from support.camera_bench import Bench, opener
from support.clips import FPS, FRAMES, EncodeVideo, read_video

from edge_daemon.capture.sources import SourceError
from edge_daemon.capture.video import VideoFile
from edge_daemon.core.types import ImageBgr


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.ts", "mpeg2video", "yuv420p"),
        ("a.flv", "libx264", "yuv420p"),
        ("a.mov", "mpeg4", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
    ],
)
def test_formats(
    encode_video: EncodeVideo,
    demo_pictures: list[ImageBgr],
    name: str,
    codec: str,
    pixel_format: str,
) -> None:
    shown, times_s = read_video(encode_video(name, codec, pixel_format=pixel_format))
    assert times_s == pytest.approx([n / FPS for n in range(FRAMES)], abs=2e-3)
    for bgr, sent in zip(shown, demo_pictures, strict=True):
        assert np.abs(bgr.astype(int) - sent).mean() < 8


@pytest.mark.parametrize(("name", "codec"), [("i.mp4", "libx264"), ("i.ts", "mpeg2video")])
def test_interlaced_video_is_not_black(
    encode_video: EncodeVideo, demo_pictures: list[ImageBgr], name: str, codec: str
) -> None:
    shown, _ = read_video(
        encode_video(name, codec, options={"flags": "+ildct+ilme", "x264opts": "tff=1"})
    )
    for bgr, sent in zip(shown, demo_pictures, strict=True):
        assert np.abs(bgr.astype(int) - sent).mean() < 8


def test_each_frame_has_its_own_time(encode_video: EncodeVideo) -> None:
    """Of a variable rate: 12 frames a second, then one every half second."""
    sent_s = [0.083 * n for n in range(12)] + [1 + 0.5 * n for n in range(12)]
    _, times_s = read_video(encode_video("vfr.mkv", times_s=sent_s))
    assert times_s == pytest.approx(sent_s, abs=2e-3)


def test_decoded_frames_are_freed_at_once(encode_video: EncodeVideo) -> None:
    """In a reference cycle each would stay until the next garbage collection: 40 MB at 640×480."""
    path = encode_video("cycle.mp4")
    gc.collect()
    gc.disable()
    try:
        before = frames_in_memory()
        assert sum(1 for _ in VideoFile(path).frames()) == FRAMES
        assert frames_in_memory() - before <= 2
    finally:
        gc.enable()


def frames_in_memory() -> int:
    return sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())


def test_times_of_a_file_that_begins_late_count_from_its_beginning(
    encode_video: EncodeVideo,
) -> None:
    _, times_s = read_video(
        encode_video("late.mkv", times_s=[60 + 0.083 * n for n in range(FRAMES)])
    )
    assert times_s[:3] == pytest.approx([0, 0.083, 0.166], abs=2e-3)


def test_files_without_times_have_their_nominal_rate(encode_video: EncodeVideo) -> None:
    _, times_s = read_video(encode_video("raw.h264"))
    assert times_s == pytest.approx([n / FPS for n in range(FRAMES)], abs=2e-3)


def test_files_put_one_behind_the_other_have_growing_times(
    encode_video: EncodeVideo, tmp_path: Path
) -> None:
    part = encode_video("part.ts", "mpeg2video").read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part + part)
    times_s = []
    try:
        for image in VideoFile(joined).frames():
            times_s.append(image.time_s or 0.0)
    except SourceError:
        pass  # whether the seam counts as damage is not the question here
    assert len(times_s) >= 2 * FRAMES - 3
    assert min(np.diff(times_s)) > 0
    assert max(np.diff(times_s)) < 0.5


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(4, 3), (427, 240)), (Fraction(1, 2), (320, 480))]
)
def test_pixels_are_made_square(
    encode_video: EncodeVideo, aspect: Fraction, size: tuple[int, int]
) -> None:
    shown, _ = read_video(encode_video("anamorphic.mp4", aspect=aspect))
    assert shown[0].shape[1::-1] == size


@pytest.mark.parametrize(
    ("degrees", "turned"),
    [
        (90, cv2.ROTATE_90_COUNTERCLOCKWISE),
        (180, cv2.ROTATE_180),
        (-90, cv2.ROTATE_90_CLOCKWISE),
    ],
)
def test_a_phones_rotation_is_applied(
    encode_video: EncodeVideo, demo_pictures: list[ImageBgr], degrees: int, turned: int
) -> None:
    shown, _ = read_video(encode_video("phone.mp4", rotation=degrees))
    sent = cv2.rotate(demo_pictures[0], turned)
    assert shown[0].shape == sent.shape
    assert np.abs(shown[0].astype(int) - sent).mean() < 8


MIRRORED: dict[tuple[int, int, int, int], Callable[..., ImageBgr]] = {
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda bgr: bgr.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda bgr: np.rot90(bgr, 2).transpose(1, 0, 2),
    (0, 0, 0, 0): lambda bgr: bgr,  # written by some editors; players ignore it
}


@pytest.mark.parametrize("matrix", MIRRORED)
def test_a_mirrored_video_is_shown_as_players_do(
    encode_video: EncodeVideo, demo_pictures: list[ImageBgr], matrix: tuple[int, int, int, int]
) -> None:
    """The matrix of the track header (ISO/IEC 14496-12, 8.3.2), a b u c d v x y w."""
    path = encode_video("mirrored.mp4")
    content = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", content, content.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    sent = MIRRORED[matrix](demo_pictures[0])
    shown = read_video(path)[0][0]
    assert shown.shape == sent.shape
    assert np.abs(shown.astype(int) - sent).mean() < 8


def test_names_in_any_script_and_none_can_be_opened(
    encode_video: EncodeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode_video("a.mkv")
    monkeypatch.chdir(path.parent)
    path = Path(path.name)
    for name in (
        os.fsdecode(b"\xe9t\xe9.mkv"),
        "Ü 顔 [1] %d.mkv",
        "-i.mkv",
        "http:a.mkv",
        "no-suffix",
    ):
        path = path.rename(path.with_name(name))
        assert len(read_video(path)[1]) == FRAMES


def test_the_times_of_a_file_pace_its_playing(encode_video: EncodeVideo) -> None:
    path = encode_video("slow.mkv", times_s=[0.04 * n * n for n in range(FRAMES)])
    with Bench(opener(str(path)), lossless=True) as bench:
        frames = bench.take(FRAMES)
        bench.wait_for("ended")
    played_s = [frame.captured_s - frames[0].captured_s for frame in frames]
    assert played_s == pytest.approx([0.04 * n * n for n in range(FRAMES)], abs=2e-3)
