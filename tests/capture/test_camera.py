"""The camera on real files and a real HTTP server: order, loss, recovery, end, stop."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.camera_bench import Bench, opener, write_images
from support.mjpeg_server import MjpegServer
from support.waiting import until

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.capture.sources import SourceAwayError, SourceError, TimedImage
from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Frame, ImageBgr

CLIP = "signing-bird.mkv"  # 63 frames, 30 a second


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path)


def all_of(clip: Path) -> list[ImageBgr]:
    capture, pictures = cv2.VideoCapture(str(clip)), []
    while (read := capture.read())[0]:
        pictures.append(np.asarray(read[1], np.uint8))
    return pictures


def test_lossless_file_delivers_every_frame_once(media_dir: Path) -> None:
    with Bench(opener(str(media_dir / CLIP)), lossless=True) as bench:
        frames = bench.take(1000)
        bench.wait_for("ended")
    expected = all_of(media_dir / CLIP)
    assert [f.id for f in frames] == list(range(1, len(expected) + 1))
    # The two decoders round colors differently.
    errors = [np.abs(f.bgr.astype(int) - b).mean() for f, b in zip(frames, expected, strict=True)]
    assert max(errors) < 2
    assert bench.frames.overwritten == 0
    assert np.diff([f.captured_s for f in frames]) == pytest.approx(1 / 30, abs=1e-3)
    ticks_s = [b.captured_at.timestamp() - a.captured_at.timestamp() for a, b in pairwise(frames)]
    assert ticks_s == pytest.approx([1 / 30] * len(ticks_s), abs=1e-3)


def test_looped_file_starts_again(media_dir: Path) -> None:
    with Bench(opener(str(media_dir / CLIP), loop=True), lossless=True) as bench:
        frames = bench.take(70)
        assert bench.camera.status.state == "ok"
    assert len(frames) == 70
    assert np.array_equal(frames[0].bgr, frames[63].bgr)


def test_file_is_played_at_its_pace(media_dir: Path) -> None:
    with Bench(opener(str(media_dir / CLIP))) as bench:
        frames = bench.take(12)
    gone_s = frames[-1].captured_s - frames[0].captured_s
    assert gone_s > 0.5 * (frames[-1].id - frames[0].id) / 30  # unpaced it takes far less


def shown(frames: list[Frame]) -> list[int]:
    """Return the plain pictures that frames show, each once."""
    values = [int(frame.bgr[0, 0, 0]) for frame in frames]
    return [value for n, value in enumerate(values) if n == 0 or value != values[n - 1]]


def test_a_folder_is_shown_by_name(images: Path) -> None:
    (images / "3.jpg").unlink()
    with Bench(opener(str(images)), lossless=True) as bench:
        frames = bench.take(1000)
        bench.wait_for("ended")
    assert [int(frame.bgr[0, 0, 0]) for frame in frames] == [50] * 15 + [100] * 15 + [200] * 15
    with Bench(opener(str(images), loop=True), lossless=True) as bench:
        assert shown(bench.take(46)) == [50, 100, 200, 50]


def test_pictures_are_known_by_their_content(images: Path) -> None:
    (images / "1.png").rename(images / "1")
    (images / "2.png").rename(images / "2.txt")
    (images / "3.jpg").unlink()
    (images / "._4.png").write_bytes(b"what a Mac leaves behind")
    with Bench(opener(str(images)), lossless=True) as bench:
        assert shown(bench.take(1000)) == [50, 100, 200]
        bench.wait_for("ended")


def test_a_picture_that_cannot_be_decoded_is_a_failure_at_the_end(images: Path) -> None:
    bench = Bench(opener(str(images)), lossless=True)
    bench.camera.start()
    assert shown(bench.take(1000)) == [50, 100, 200]
    until(lambda: bool(bench.failures))
    assert str(bench.failures[0]) == f"1 files in {images} cannot be read as pictures: 3.jpg"
    bench.camera.stop()


def test_new_pictures_in_a_folder_are_seen(images: Path) -> None:
    with Bench(opener(str(images), loop=True), lossless=True) as bench:
        assert shown(bench.take(3)) == [50]
        cv2.imwrite(str(images / "5.png"), np.full((24, 32, 3), 250, np.uint8))
        assert 250 in shown(bench.take(120))
        for path in images.iterdir():
            path.unlink()
        until(lambda: bench.frames.get(timeout_s=0.01) and bench.camera.status.state == "lost")
        assert "contains no picture any more" in bench.camera.status.reason
        cv2.imwrite(str(images / "6.png"), np.full((24, 32, 3), 20, np.uint8))
        until(lambda: bench.camera.status.state == "ok")


def test_single_image(images: Path) -> None:
    with Bench(opener(str(images / "2.png"), loop=True), lossless=True) as bench:
        assert len(bench.take(31)) == 31


@pytest.mark.parametrize("loop", [True, False])
def test_a_folder_without_a_picture_that_can_be_decoded_is_refused(
    tmp_path: Path, loop: bool
) -> None:
    (tmp_path / "1.jpg").write_bytes(b"no")
    with pytest.raises(SourceError, match=r"1 files in .* cannot be read as pictures: 1\.jpg"):
        opener(str(tmp_path), loop=loop)
    with pytest.raises(SourceError, match=r"1\.jpg cannot be read as a picture"):
        opener(str(tmp_path / "1.jpg"), loop=loop)


@pytest.mark.parametrize(
    ("rotate", "mirror", "corner"),
    [(0, False, 0), (90, False, 2), (180, False, 3), (270, False, 1), (0, True, 1), (90, True, 0)],
)
def test_pictures_are_rotated_and_mirrored(
    tmp_path: Path, rotate: int, mirror: bool, corner: int
) -> None:
    """Of a picture with four gray quarters, which one is at the top left."""
    quarters = np.kron(np.array([[10, 60], [110, 160]]), np.ones((20, 30))).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "quarters.png"), quarters)
    with Bench(opener(str(tmp_path)), lossless=True, rotate=rotate, mirror=mirror) as bench:
        bgr = bench.take(1)[0].bgr
    assert bgr.shape[:2] == ((60, 40) if rotate in {90, 270} else (40, 60))
    assert bgr[0, 0, 0] == (10, 60, 110, 160)[corner]


def test_demo_source() -> None:
    with Bench(opener("demo"), lossless=True) as bench:
        frames = bench.take(3)
        assert bench.camera.status.name == "demo"
    assert np.array_equal(frames[2].bgr, Demo(320, 240).render(2 / 30))


def test_server_that_closes_is_lost_and_comes_back(mjpeg_server: MjpegServer) -> None:
    with Bench(opener(mjpeg_server.url)) as bench:
        bench.wait_for("ok")
        before = bench.camera.counts.captured
        mjpeg_server.mode = "close"
        assert "delivers no more" in bench.wait_for("lost")
        mjpeg_server.mode = "ok"
        assert bench.wait_for("ok") == ""
        until(lambda: bench.camera.counts.captured > before + 5)


def test_server_that_falls_silent_is_lost_and_comes_back(mjpeg_server: MjpegServer) -> None:
    with Bench(opener(mjpeg_server.url)) as bench:
        bench.wait_for("ok")
        mjpeg_server.mode = "silent"
        assert "silent for 1 s" in bench.wait_for("lost")
        assert bench.camera.counts.abandoned == 1
        mjpeg_server.mode = "ok"
        bench.wait_for("ok")
        ids = [f.id for f in bench.take(5)]
        assert ids == sorted(set(ids))


def test_camera_that_repeats_one_picture_is_lost_until_it_changes(
    mjpeg_server: MjpegServer,
) -> None:
    with Bench(opener(mjpeg_server.url)) as bench:
        bench.wait_for("ok")
        mjpeg_server.mode = "still"
        assert bench.wait_for("lost").endswith("cam.mjpg?… has repeated one picture for 1 s")
        captured = bench.camera.counts.captured
        until(lambda: bench.camera.counts.lost["frozen"] == 2)  # opened again, and still the same
        assert bench.camera.counts.captured == captured
        mjpeg_server.mode = "ok"
        bench.wait_for("ok")
        assert bench.outages == ["frozen", "restored"]
        assert bench.camera.counts.reopened >= 2


def test_picture_broken_off_is_a_loss_and_not_a_picture(mjpeg_server: MjpegServer) -> None:
    with Bench(opener(mjpeg_server.url)) as bench:
        bench.wait_for("ok")
        mjpeg_server.mode = "cut"
        assert "broke off in the middle of a picture" in bench.wait_for("lost")
        until(lambda: bench.camera.counts.lost["ended"] >= 2)
        mjpeg_server.mode = "ok"
        bench.wait_for("ok")
        assert bench.outages == ["ended", "restored"]


def test_each_outage_is_reported_once_and_logged_once_for_each_cause(
    mjpeg_server: MjpegServer, jpegs: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with Bench(opener(mjpeg_server.url)) as bench:
        bench.wait_for("ok")
        mjpeg_server.stop()
        until(lambda: bench.camera.counts.lost["absent"] >= 2)
        restarted = MjpegServer(jpegs, port=mjpeg_server.server_port)
        bench.wait_for("ok")
        restarted.stop()
    assert bench.outages[:2] == ["ended", "restored"]
    logged = [record.getMessage() for record in caplog.records][:4]
    expected = ("camera ok: http", "camera lost: http", "camera lost: http", "camera ok: http")
    assert all(line.startswith(start) for line, start in zip(logged, expected, strict=True))
    assert logged[0].endswith("cam.mjpg?…, 320x240 MJPEG")
    assert logged[2].endswith("does not answer: Connection refused")


def test_stop_does_not_wait_for_a_blocked_read(mjpeg_server: MjpegServer) -> None:
    with Bench(opener(mjpeg_server.url), timeout_s=60) as bench:
        bench.wait_for("ok")
        mjpeg_server.mode = "silent"
        count = -1
        while bench.camera.counts.captured != count:  # until the read blocks
            count = bench.camera.counts.captured
            time.sleep(1)
        bench.camera.stop()
        until(lambda: bench.camera.counts.abandoned == 1)


def test_camera_that_comes_late(jpegs: list[bytes]) -> None:
    parked = MjpegServer(jpegs)
    url, port = parked.url, parked.server_port
    parked.stop()
    with Bench(opener(url)) as bench:
        reason = bench.wait_for("lost")
        assert reason.startswith(f"http://127.0.0.1:{port}/cam.mjpg?… does not answer")
        late = MjpegServer(jpegs, port=port)
        try:
            bench.wait_for("ok")
        finally:
            late.stop()


def test_missing_device_is_waited_for() -> None:
    with Bench(opener(97)) as bench:
        assert bench.wait_for("lost") == "/dev/video97 does not exist"


class FlakySource:
    """Stands for a device whose driver hangs in its second read; the test ends the hang."""

    name = "flaky"
    fps = None
    mode = ""

    def __init__(self, hang: threading.Event) -> None:
        self.hang = hang
        self.reads = 0
        self.closed = threading.Event()

    def read(self) -> TimedImage:
        self.reads += 1
        if self.reads > 1:
            self.hang.wait(30)
        return TimedImage(Picture(np.full((2, 2, 3), self.reads, np.uint8)))

    def close(self) -> None:
        self.closed.set()


def test_frames_of_an_abandoned_read_are_discarded() -> None:
    hang, opened = threading.Event(), list[FlakySource]()

    def open_source() -> FlakySource:
        if len(opened) == 2:
            raise SourceAwayError("gone")
        opened.append(FlakySource(hang))
        return opened[-1]

    with Bench(open_source, timeout_s=0.3) as bench:
        until(lambda: bench.camera.status.reason == "gone")
        hang.set()
        until(lambda: all(source.closed.is_set() for source in opened))
        assert bench.camera.counts.captured == 2
        assert bench.camera.counts.abandoned == 2


def test_unexpected_exception_is_reported() -> None:
    def open_source() -> FlakySource:
        raise ZeroDivisionError("a bug")

    bench = Bench(open_source)
    bench.camera.start()
    until(lambda: bool(bench.failures))
    assert isinstance(bench.failures[0], ZeroDivisionError)
