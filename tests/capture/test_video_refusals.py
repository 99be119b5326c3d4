"""Tests video files that are cut off, damaged, or not videos: what is read and reported."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from support.camera_bench import Bench, opener
from support.clips import FPS, FRAMES, EncodeVideo, read_until_error, read_video, remuxed
from support.waiting import until

from edge_daemon.capture.sources import SourceError, VideoSource
from edge_daemon.capture.video import VideoFile, frame_count


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
    encode_video: EncodeVideo, name: str, codec: str
) -> None:
    path = encode_video(name, codec, pixel_format="yuvj420p" if codec == "mjpeg" else "yuv420p")
    if name.endswith("mp4"):
        path = remuxed(path, {"movflags": "+faststart"})
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
    encode_video: EncodeVideo, name: str, codec: str, pixel_format: str
) -> None:
    """Such files have no header with a duration; the half picture is not shown."""
    path = encode_video(name, codec, pixel_format=pixel_format)
    assert len(read_video(path)[0]) == FRAMES
    path.write_bytes(path.read_bytes()[:-1500])
    times_s, sentence = read_until_error(path)
    assert len(times_s) == FRAMES - 1
    assert sentence.startswith(f"{path} is cut off or damaged: {FRAMES - 1} frames up to")


def test_a_file_cut_before_its_index_is_named(encode_video: EncodeVideo) -> None:
    path = encode_video("a.mp4")
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(SourceError, match=r"a\.mp4 is cut off: the index at its end"):
        VideoFile(path)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    with pytest.raises(SourceError, match=r"a\.mp4 is empty"):
        VideoFile(path)


def test_an_encrypted_video_is_named(encode_video: EncodeVideo) -> None:
    """Common encryption (ISO/IEC 23001-7), as streaming services use it."""
    key = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "a7" * 16}
    path = remuxed(encode_video("a.mp4"), {"encryption_scheme": "cenc-aes-ctr", **key})
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
def test_a_list_leads_to_no_other_file(encode_video: EncodeVideo, content: str) -> None:
    """A list in a file neither opens other files nor connects to addresses."""
    path = encode_video("other.mp4").with_name("list.mp4")
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


def test_a_cut_file_played_once_is_a_failure(encode_video: EncodeVideo) -> None:
    path = encode_video("a.mkv")
    path.write_bytes(path.read_bytes()[:-4000])
    bench = Bench(opener(str(path)), lossless=True)
    bench.camera.start()
    assert len(bench.take(FRAMES)) < FRAMES
    until(lambda: bool(bench.failures))
    assert "is cut off or damaged" in str(bench.failures[0])
    bench.camera.stop()


def test_a_cut_file_is_played_again_and_again(encode_video: EncodeVideo) -> None:
    path = encode_video("a.mkv")
    path.write_bytes(path.read_bytes()[:-4000])
    with Bench(opener(str(path), loop=True), lossless=True) as bench:
        frames = bench.take(2 * FRAMES)
    assert len(frames) == 2 * FRAMES
    assert min(np.diff([frame.captured_s for frame in frames])) > 0
