"""Tests video files of every kind: frames, times, shapes, and files that are cut off."""

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
from numpy.typing import NDArray
from support.camera_bench import Bench, opener
from support.waiting import until

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.capture.sources import SourceError, VideoSource
from edge_daemon.capture.video import VideoFile, frame_count

FRAMES, FPS = 24, 12
Encode = Callable[..., Path]


@pytest.fixture(scope="module")
def pictures() -> list[NDArray[np.uint8]]:
    demo = Demo(320, 240)
    return [demo.render(n / FPS) for n in range(FRAMES)]


@pytest.fixture
def encode(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> Encode:
    """Writes the pictures as a video and returns its path."""

    def write(
        name: str,
        codec: str = "libx264",
        *,
        times_ms: list[int] | None = None,
        pixel_format: str = "yuv420p",
        aspect: Fraction | None = None,
        rotation: int = 0,
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(path, "w") as container:
            stream = container.add_stream(codec, rate=FPS, options=options or {})
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = 320, 240, pixel_format
            if times_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            if rotation:
                stream.set_display_rotation(rotation)
            for number, bgr in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
                if times_ms is not None:
                    frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


def read(path: Path) -> tuple[list[NDArray[np.uint8]], list[float]]:
    images = list(VideoFile(path).frames())
    return [image.picture.bgr for image in images], [image.time_s or 0.0 for image in images]


def read_until_error(path: Path) -> tuple[list[float], str]:
    """Return the times of the frames that can be read, and the sentence after them."""
    times_s: list[float] = []
    with pytest.raises(SourceError) as caught:
        for image in VideoFile(path).frames():
            times_s.append(image.time_s or 0.0)
    return times_s, str(caught.value)


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
    encode: Encode, pictures: list[NDArray[np.uint8]], name: str, codec: str, pixel_format: str
) -> None:
    shown, times_s = read(encode(name, codec, pixel_format=pixel_format))
    assert times_s == pytest.approx([n / FPS for n in range(FRAMES)], abs=2e-3)
    for bgr, sent in zip(shown, pictures, strict=True):
        assert np.abs(bgr.astype(int) - sent).mean() < 8


@pytest.mark.parametrize(("name", "codec"), [("i.mp4", "libx264"), ("i.ts", "mpeg2video")])
def test_interlaced_video_is_not_black(
    encode: Encode, pictures: list[NDArray[np.uint8]], name: str, codec: str
) -> None:
    shown, _ = read(encode(name, codec, options={"flags": "+ildct+ilme", "x264opts": "tff=1"}))
    for bgr, sent in zip(shown, pictures, strict=True):
        assert np.abs(bgr.astype(int) - sent).mean() < 8


def test_each_frame_has_its_own_time(encode: Encode) -> None:
    """Of a variable rate: 12 frames a second, then one every half second."""
    times_ms = [83 * n for n in range(12)] + [1000 + 500 * n for n in range(12)]
    _, times_s = read(encode("vfr.mkv", times_ms=times_ms))
    assert times_s == pytest.approx([ms / 1000 for ms in times_ms], abs=2e-3)


def test_decoded_frames_are_freed_at_once(encode: Encode) -> None:
    """In a reference cycle each would stay until the next garbage collection: 40 MB at 640×480."""
    path = encode("cycle.mp4")
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


def test_times_of_a_file_that_begins_late_count_from_its_beginning(encode: Encode) -> None:
    _, times_s = read(encode("late.mkv", times_ms=[60_000 + 83 * n for n in range(FRAMES)]))
    assert times_s[:3] == pytest.approx([0, 0.083, 0.166], abs=2e-3)


def test_files_without_times_have_their_nominal_rate(encode: Encode) -> None:
    _, times_s = read(encode("raw.h264"))
    assert times_s == pytest.approx([n / FPS for n in range(FRAMES)], abs=2e-3)


def test_files_put_one_behind_the_other_have_growing_times(encode: Encode, tmp_path: Path) -> None:
    part = encode("part.ts", "mpeg2video").read_bytes()
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
def test_pixels_are_made_square(encode: Encode, aspect: Fraction, size: tuple[int, int]) -> None:
    shown, _ = read(encode("anamorphic.mp4", aspect=aspect))
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
    encode: Encode, pictures: list[NDArray[np.uint8]], degrees: int, turned: int
) -> None:
    shown, _ = read(encode("phone.mp4", rotation=degrees))
    sent = cv2.rotate(pictures[0], turned)
    assert shown[0].shape == sent.shape
    assert np.abs(shown[0].astype(int) - sent).mean() < 8


MIRRORED: dict[tuple[int, int, int, int], Callable[..., NDArray[np.uint8]]] = {
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda bgr: bgr.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda bgr: np.rot90(bgr, 2).transpose(1, 0, 2),
    (0, 0, 0, 0): lambda bgr: bgr,  # written by some editors; players ignore it
}


@pytest.mark.parametrize("matrix", MIRRORED)
def test_a_mirrored_video_is_shown_as_players_do(
    encode: Encode, pictures: list[NDArray[np.uint8]], matrix: tuple[int, int, int, int]
) -> None:
    """The matrix of the track header (ISO/IEC 14496-12, 8.3.2), a b u c d v x y w."""
    path = encode("mirrored.mp4")
    content = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", content, content.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    sent = MIRRORED[matrix](pictures[0])
    shown = read(path)[0][0]
    assert shown.shape == sent.shape
    assert np.abs(shown.astype(int) - sent).mean() < 8


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx"),
        ("a.avi", "mjpeg"),
        ("a.flv", "libx264"),
        ("a.mp4", "libx264"),
    ],
)
def test_a_file_cut_in_half_gives_what_can_be_read_and_is_named(
    encode: Encode, name: str, codec: str
) -> None:
    path = encode(name, codec, pixel_format="yuvj420p" if codec == "mjpeg" else "yuv420p")
    if name.endswith("mp4"):
        path = _remuxed(path, {"movflags": "+faststart"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    times_s, sentence = read_until_error(path)
    assert 3 <= len(times_s) < FRAMES
    assert sentence.startswith(f"{path} is cut off or damaged: {len(times_s)} frames up to")


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [("a.y4m", "wrapped_avframe", "yuv420p"), ("a.mjpeg", "mjpeg", "yuvj420p")],
)
def test_raw_video_that_ends_within_a_picture_is_named(
    encode: Encode, name: str, codec: str, pixel_format: str
) -> None:
    """Such files have no header with a duration; the half picture is not shown."""
    path = encode(name, codec, pixel_format=pixel_format)
    assert len(read(path)[0]) == FRAMES
    path.write_bytes(path.read_bytes()[:-1500])
    times_s, sentence = read_until_error(path)
    assert len(times_s) == FRAMES - 1
    assert sentence.startswith(f"{path} is cut off or damaged: {FRAMES - 1} frames up to")


def _remuxed(path: Path, options: dict[str, str]) -> Path:
    """Return the same video in a new MP4 file, written with other options."""
    target = path.with_name("remuxed.mp4")
    with av.open(path) as source, av.open(target, "w", options=options) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return target


def test_a_file_cut_before_its_index_is_named(encode: Encode) -> None:
    path = encode("a.mp4")
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(SourceError, match=r"a\.mp4 is cut off: the index at its end"):
        VideoFile(path)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    with pytest.raises(SourceError, match=r"a\.mp4 is empty"):
        VideoFile(path)


def test_an_encrypted_video_is_named(encode: Encode) -> None:
    """Common encryption (ISO/IEC 23001-7), as streaming services use it."""
    key = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "a7" * 16}
    path = _remuxed(encode("a.mp4"), {"encryption_scheme": "cenc-aes-ctr", **key})
    sentence = f"{path} is encrypted, so that it cannot be decoded"
    assert read_until_error(path) == ([], sentence)
    source = VideoSource(path, loop=True)  # nor is it played again and again
    with pytest.raises(SourceError, match="is encrypted"):
        source.read()


@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile other.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nother.mp4\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">'
        "<BaseURL>other.mp4</BaseURL></MPD>",
    ],
    ids=["concat", "HLS", "SDP", "DASH"],
)
def test_a_list_leads_to_no_other_file(encode: Encode, content: str) -> None:
    """A list in a file neither opens other files nor connects to addresses."""
    path = encode("other.mp4").with_name("list.mp4")
    path.write_text(content)
    with pytest.raises(SourceError, match=r"list\.mp4 is a list of other files or addresses"):
        VideoFile(path)
    assert frame_count(path) == 0


@pytest.mark.parametrize("content", [b"no video", b"\0" * 5000])
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"notes\.mp4 is not a video"):
        VideoFile(path)


def test_a_video_of_absurd_size_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.avi"
    with av.open(path, "w") as container:
        stream = container.add_stream("mjpeg", rate=FPS)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 8000, 6000, "yuvj420p"
        black = np.zeros((6000, 8000, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(black, format="bgr24")))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"bomb\.avi (holds no frame|holds no video|is not)"):
        list(VideoFile(path).frames())


def test_sound_without_a_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=44100)
        assert isinstance(stream, av.AudioStream)
        samples = np.zeros((1, 44100), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"song\.mp4 holds no video"):
        VideoFile(path)


def test_names_in_any_script_and_none_can_be_opened(
    encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode("a.mkv")
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
        assert len(read(path)[1]) == FRAMES


def test_the_times_of_a_file_pace_its_playing(encode: Encode) -> None:
    path = encode("slow.mkv", times_ms=[40 * n * n for n in range(FRAMES)])
    with Bench(opener(str(path)), lossless=True) as bench:
        frames = bench.take(FRAMES)
        bench.wait_for("ended")
    played_s = [frame.captured_s - frames[0].captured_s for frame in frames]
    assert played_s == pytest.approx([0.04 * n * n for n in range(FRAMES)], abs=2e-3)


def test_a_cut_file_played_once_is_a_failure(encode: Encode) -> None:
    path = encode("a.mkv")
    path.write_bytes(path.read_bytes()[:-4000])
    bench = Bench(opener(str(path)), lossless=True)
    bench.camera.start()
    assert len(bench.take(FRAMES)) < FRAMES
    until(lambda: bool(bench.failures))
    assert "is cut off or damaged" in str(bench.failures[0])
    bench.camera.stop()


def test_a_cut_file_is_played_again_and_again(encode: Encode) -> None:
    path = encode("a.mkv")
    path.write_bytes(path.read_bytes()[:-4000])
    with Bench(opener(str(path), loop=True), lossless=True) as bench:
        frames = bench.take(2 * FRAMES)
    assert len(frames) == 2 * FRAMES
    assert min(np.diff([frame.captured_s for frame in frames])) > 0
