"""Tests V4L2 without a device: the choice of nodes and formats, and decoding of buffers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.mjpeg_server import demo_jpegs
from support.pictures import decoded

from edge_daemon.capture.device import V4l2Device, as_bgr, stretched
from edge_daemon.capture.opener import source_opener
from edge_daemon.capture.sources import SourceAwayError, SourceError
from edge_daemon.capture.v4l2 import (
    READABLE,
    capture_devices,
    control_name,
    frame_rates,
    prefers_mjpg,
    set_controls,
    unreadable,
)
from edge_daemon.config.file import ConfigError, parse_config


def test_other_files_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "video0").write_text("a file")
    (tmp_path / "video-of-me").write_text("another")
    assert capture_devices(tmp_path) == []
    assert frame_rates(tmp_path / "video0", 640, 480) == {}
    assert frame_rates(tmp_path / "video1", 640, 480) == {}


@pytest.mark.parametrize(
    ("rates", "fps", "mjpg"),
    [
        ({"YUYV": 30.0, "MJPG": 30.0}, 30.0, False),  # a usual webcam at 640×480
        ({"YUYV": 10.0, "MJPG": 30.0}, 15.0, True),  # and at 1280×720
        ({"YUYV": 10.0, "MJPG": 30.0}, 10.0, False),
        ({"YUYV": 10.0, "MJPG": 30.0}, 60.0, True),  # nearer than ten
        ({"YUYV": 30.0}, 60.0, False),
        ({"MJPG": 30.0}, 15.0, True),
        ({}, 15.0, False),  # a driver that does not say
    ],
)
def test_mjpg_where_only_it_is_fast_enough(rates: dict[str, float], fps: float, mjpg: bool) -> None:
    assert prefers_mjpg(rates, fps) is mjpg


def test_thermal_gray_is_stretched_to_its_own_range() -> None:
    """A room of 20 to 37 °C in hundredths of a kelvin uses a fortieth of 16 bits."""
    room = np.linspace(29315, 31015, 120 * 160).reshape(120, 160).astype(np.uint16)
    gray = stretched(room)
    assert gray.dtype == np.uint8
    assert (gray.min(), gray.max()) == (0, 255)
    assert gray.mean() == pytest.approx(127.5, abs=4)
    assert np.all(np.diff(gray.reshape(-1).astype(int)) >= 0)
    hot = room.copy()
    hot[0, 0] = 65535  # one defective pixel
    assert stretched(hot).mean() == pytest.approx(127.5, abs=4)


def test_a_uniform_picture_is_not_stretched_to_noise() -> None:
    flat = np.full((40, 40), 30000, np.uint16)
    flat[::2] += 3
    assert np.ptp(stretched(flat)) < 20


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6), np.uint16),
        np.zeros((4, 6, 3), np.uint8),
    ],
)
def test_pictures_become_bgr(picture: np.ndarray[Any, Any]) -> None:
    assert as_bgr(picture).shape == (4, 6, 3)


def test_formats_nobody_can_decode_are_named() -> None:
    assert unreadable(("pRAA", "Y14 ")).startswith("delivers only pRAA, Y14, which cannot")
    assert unreadable(("YV\x01Y",)).startswith("delivers only YV?Y, which")
    sensors = "pRAA pBAA pgAA RGGB GRBG BG10 BA10 RG12 GB14 BYR2 aBA8 pRCC Y10P Y12P ip3b PC1R"
    others = "H264 HEVC MPEG MPG4 VP80 YVYU VYUY NV16 RGBP Z16  Y41P"
    for code in sensors.split():
        assert "camera.source: picamera" in unreadable((code,))
    for code in others.split():
        assert "serve it by RTSP" in unreadable((f"{code:<4}",))
    assert not READABLE.intersection([*sensors.split(), *others.split()])


@pytest.mark.parametrize("pixel_format", ["H264", "YVYU", "RGGB", "XYZ1"])
def test_a_format_that_cannot_be_decoded_is_refused_at_the_start(pixel_format: str) -> None:
    with pytest.raises(SourceError, match=rf"camera.pixel_format: {pixel_format} cannot.*, YUYV"):
        source_opener(
            "/dev/video97", width=6, height=4, fps=15, loop=False, timeout_s=1,
            pixel_format=pixel_format,
        )  # fmt: skip


def test_a_device_that_is_no_camera_is_named() -> None:
    with pytest.raises(SourceAwayError, match="/dev/zero is not a camera: set"):
        V4l2Device("/dev/zero", width=6, height=4, fps=15, timeout_s=0.2)


class Buffers:
    """Stands for OpenCV's capture of a device, whose buffers and FourCC are given."""

    def __init__(self, buffers: Iterator[Any], code: int) -> None:
        self.buffers, self.code = buffers, code

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def set(self, *_: float) -> bool:
        return True

    def get(self, _: int) -> float:
        return float(self.code)

    def grab(self) -> bool:
        return True

    def retrieve(self) -> tuple[bool, Any]:
        buffer = next(self.buffers)
        if isinstance(buffer, Exception):
            raise buffer
        return buffer is not None, buffer


def device(
    monkeypatch: pytest.MonkeyPatch,
    buffers: Iterator[Any],
    code: str = "\0\0\0\0",
    pixel_format: str = "auto",
) -> V4l2Device:
    fourcc = int.from_bytes(code.encode("latin-1"), "little")
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Buffers(buffers, fourcc))
    return V4l2Device(
        "/dev/video97", width=6, height=4, fps=15, timeout_s=0.2, pixel_format=pixel_format
    )


def test_gray_of_either_byte_order_is_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    gray = np.arange(24, dtype=np.uint16).reshape(4, 6) * 99 + 29_000
    shown = []
    for code, buffer in (("Y16 ", gray), ("Y16\xa0", gray.byteswap())):
        camera = device(monkeypatch, iter([buffer]), code)
        assert camera.mode.startswith({"Y16 ": "Y16 at", "Y16\xa0": "Y16-BE at"}[code])
        image = camera.read()
        assert image is not None
        shown.append(image.picture.bgr)
    assert np.array_equal(shown[0], shown[1])
    assert np.ptp(shown[0]) == 255


def test_a_format_that_the_camera_does_not_have_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    device(monkeypatch, iter([]), "YUYV", pixel_format="Y16")
    assert "Y16 cannot be had of /dev/video97, which delivers YUYV; it offers" in caplog.text
    caplog.clear()
    device(monkeypatch, iter([]), "Y16 ", pixel_format="Y16")
    assert caplog.text == ""


def test_buffers_without_a_picture_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.full((4, 6, 3), 9, np.uint8)
    buffers = [None, np.zeros((0, 0, 3), np.uint8), cv2.error("corrupt JPEG"), picture]
    image = device(monkeypatch, iter(buffers)).read()
    assert image is not None
    assert np.array_equal(image.picture.bgr, picture)


def without_tables(jpeg: bytes) -> bytes:
    """Return the JPEG without its Huffman tables, as many webcams send it."""
    at, kept = 2, jpeg[:2]
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        kept += b"" if jpeg[at + 1] == 0xC4 else jpeg[at:end]
        at = end
    return kept + jpeg[at:]


@pytest.mark.parametrize("has_tables", [True, False])
def test_the_jpegs_of_a_camera_are_handed_over_complete(
    has_tables: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpegs = demo_jpegs(320, 240, 2)
    sent = jpegs if has_tables else [without_tables(each) for each in jpegs]
    damaged = np.frombuffer(jpegs[0][:300], np.uint8)[None]
    padded = [np.frombuffer(each + bytes(99), np.uint8)[None] for each in sent]
    camera = device(monkeypatch, iter([damaged, *padded]), "MJPG")
    for jpeg in jpegs:
        image = camera.read()
        assert image is not None
        passed_on = image.picture.jpeg
        assert passed_on is not None
        assert b"\xff\xc4" in passed_on
        assert passed_on == jpeg or not has_tables
        assert np.array_equal(decoded(passed_on), decoded(jpeg))
        assert np.array_equal(image.picture.bgr, decoded(jpeg))


def test_a_camera_of_empty_buffers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceAwayError, match="sends only empty or damaged buffers"):
        device(monkeypatch, iter(lambda: None, 1)).read()


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Exposure, Auto", "exposure_auto"),
        ("Auto Exposure", "auto_exposure"),
        ("White Balance Temperature, Auto", "white_balance_temperature_auto"),
        ("Gain", "gain"),
    ],
)
def test_controls_have_the_names_of_v4l2_ctl(title: str, name: str) -> None:
    assert control_name(title) == name


def test_controls_of_what_is_no_camera_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "video0").write_text("a file")
    set_controls(tmp_path / "video0", {})
    with pytest.raises(OSError, match="names 'gain', but the camera has no control"):
        set_controls(tmp_path / "video0", {"gain": 1})


@pytest.mark.parametrize("pixel_format", ["auto", "MJPG", '"Y16 "', "Y16"])
def test_formats_can_be_configured(pixel_format: str) -> None:
    text = f"camera:\n  pixel_format: {pixel_format}\n  controls: {{gain: 1, hdr: true}}\n"
    camera = parse_config(text, "c.yaml").camera
    assert camera.pixel_format == pixel_format.strip('"')
    assert camera.controls == {"gain": 1, "hdr": True}


@pytest.mark.parametrize(
    "line", ["pixel_format: mjpg", "rotate: 45", "tls_verify: abc", "mirror: 1"]
)
def test_other_values_are_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=f"camera.{line.partition(':')[0]}"):
        parse_config(f"camera:\n  {line}\n", "c.yaml")
