"""Tests the choice of the source: `auto` with real and missing devices, and wrong values."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.camera_bench import Bench, opener, write_images
from support.waiting import until

from edge_daemon.capture.first_camera import FirstCamera
from edge_daemon.capture.sources import (
    OpenSource,
    PictureFiles,
    SourceAwayError,
    SourceError,
)
from edge_daemon.capture.v4l2 import capture_devices


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path)


class Plugs:
    """Stands for the machine's video devices: which there are, and which deliver."""

    def __init__(self, image: Path, **delivers: bool) -> None:
        self.image = image
        self.delivers = delivers

    def cameras(self) -> list[str]:
        return [f"/dev/{name}" for name in self.delivers]

    def open(self, path: str) -> PictureFiles:
        if not self.delivers[Path(path).name]:
            raise SourceAwayError(f"{path} is in use")
        source = PictureFiles(self.image, loop=True)
        source.name = path
        return source


def auto(plugs: Plugs) -> OpenSource:
    return FirstCamera(cameras=plugs.cameras, open_camera=plugs.open, otherwise=opener("demo"))


def test_auto_takes_the_first_camera_that_delivers(images: Path) -> None:
    assert (
        auto(Plugs(images / "1.png", video0=False, video2=True, video4=True))().name
        == "/dev/video2"
    )


def test_auto_without_a_camera_is_the_demo(images: Path) -> None:
    assert auto(Plugs(images / "1.png", video0=False))().name == "demo"
    assert capture_devices(images) == []


def test_a_camera_plugged_in_takes_the_demos_place(images: Path) -> None:
    plugs = Plugs(images / "1.png", video0=False)
    with Bench(auto(plugs), timeout_s=0.5) as bench:
        until(lambda: bench.camera.status.name == "demo")
        plugs.delivers = {"video0": False, "video1": True}
        until(lambda: bench.camera.status.name == "/dev/video1")
        assert bench.camera.counts.lost["ended"] == 1


def test_auto_waits_for_a_lost_camera_under_any_number(images: Path) -> None:
    plugs = Plugs(images / "1.png", video0=True)
    open_source = auto(plugs)
    assert open_source().name == "/dev/video0"
    plugs.delivers = {}
    with pytest.raises(SourceAwayError, match="no camera on this machine"):
        open_source()
    plugs.delivers = {"video1": True}
    assert open_source().name == "/dev/video1"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("no/such/file.mp4", "no/such/file.mp4 does not exist"),
        ("ftp://host/clip", "ftp:// cameras are not supported"),
        ("rtsp:/me:secret@host", "names no host|cameras are not supported"),
        ("/etc/admin:secret@10.0.0.7", "neither a file nor an address"),
        ("http://me:secret@cam:99999/", "a port that is not 1 to 65535"),
        ("rtsp:///stream", "names no host"),
        ("/dev/fd", "is not a camera device"),
    ],
)
def test_mistakes_are_reported_at_once(source: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence) as caught:
        opener(source)
    assert "secret" not in str(caught.value)


def test_empty_folder_and_non_video(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no picture in it"):
        opener(str(tmp_path))
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    with pytest.raises(SourceError, match=r"notes\.mp4 is not a video"):
        opener(str(text))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    with pytest.raises(SourceError, match=r"pipe\.mp4 is neither a file nor a folder"):
        opener(str(pipe))


@pytest.mark.skipif(find_spec("picamera2") is not None, reason="NOT TESTED: picamera2 is here")
def test_picamera_without_its_package_is_reported_at_once() -> None:
    with pytest.raises(SourceError, match="install Raspberry Pi OS's python3-picamera2"):
        opener("picamera:1")
