"""Tests that pictures of every format, shape, depth and color are decoded."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest
from PIL import Image
from support.color_kinds import cmyk, ycck
from support.paths import ROOT
from support.picture_headers import (
    SCAN_HEADER,
    frame_header,
)
from support.pictures import ENCODERS, Encoder, by_opencv, by_pillow, demo_scene

from edge_daemon.core.picture import (
    LONGEST_SIDE_PX,
    decode_picture,
)
from edge_daemon.core.picture_header import picture_format


@pytest.mark.parametrize("name", ENCODERS)
def test_every_format_is_decoded(name: str) -> None:
    scene = demo_scene()
    picture = decode_picture(ENCODERS[name](scene))
    assert name.startswith(picture.format)
    assert (picture.size, picture.bgr.shape, picture.scale) == ((640, 480), (480, 640, 3), 1)
    if "gray" not in name:
        error = np.abs(picture.bgr.astype(int) - scene)
        assert error.mean() < 6  # GIF has 256 colors


@pytest.mark.parametrize(("height", "width"), [(5000, 1), (3, 20_000), (1, 1), (7, 33_000)])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WebP", "BMP", "TIFF", "PNM", "GIF"])
def test_odd_shapes_are_not_damaged(name: str, height: int, width: int) -> None:
    if name == "WebP" and max(height, width) > 16_383:
        pytest.skip("larger than WebP can be")
    content = ENCODERS[name](np.full((height, width, 3), 127, np.uint8))
    picture = decode_picture(content, reduced_pixels=1000)
    assert picture.size == (width, height)
    assert 1 <= picture.bgr.size / 3 <= 3000  # one side may be one pixel already
    assert max(decode_picture(content).bgr.shape) <= LONGEST_SIDE_PX
    assert abs(picture.bgr.mean() - 127) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "AVIF", "WEBP", "PNG"])
def test_size_and_pixels_are_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.zeros((1200, 1600, 3), np.uint8)
    upright[:120, :160] = 255  # the corner where the picture begins
    turned = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a.transpose(1, 0, 2), 2), 8: lambda a: np.rot90(a, 3),
    }[orientation](upright)  # fmt: skip
    picture = decode_picture(by_pillow(kind, exif=exif.tobytes())(turned), reduced_pixels=200_000)
    assert (picture.size, picture.bgr.shape) == ((1600, 1200), (300, 400, 3))
    assert picture.scale == 4
    assert picture.bgr[10, 10].mean() > 250
    assert picture.bgr[:, 200:].mean() < 5


def test_sixteen_bits_are_scaled() -> None:
    ramp = np.tile(np.linspace(0, 65_535, 256).astype(np.uint16), (64, 1))
    for suffix in (".png", ".tif", ".pgm"):
        bgr = decode_picture(by_opencv(suffix)(ramp)).bgr
        assert abs(bgr.mean() - 127) < 1
        assert (bgr[0, 0].max(), bgr[0, -1].min()) == (0, 255)
    for kind, gray in (
        ("JPEG2000", ramp),
        ("TIFF", ramp.astype(np.float32) / 65_535),
        ("TIFF", ramp.astype(np.float32) / 257),
        ("TIFF", ramp.astype(np.int32)),
    ):
        content = io.BytesIO()
        Image.fromarray(gray).save(content, kind)
        assert abs(decode_picture(content.getvalue()).bgr.mean() - 127) < 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "L", "LA", "P", "1"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"])
def test_every_mode_of_color_is_read(kind: str, mode: str) -> None:
    scene, content = demo_scene(), io.BytesIO()
    try:
        Image.fromarray(scene[:, :, ::-1].copy()).convert(mode).save(content, kind)
    except (OSError, ValueError):
        pytest.skip(f"{kind} has no {mode}")
    bgr = decode_picture(content.getvalue()).bgr
    assert bgr.shape == scene.shape
    assert abs(bgr.mean() - scene.mean()) < 3


@pytest.mark.parametrize(
    "encode", [cmyk("JPEG", quality=92), cmyk("TIFF"), ycck], ids=["JPEG", "TIFF", "YCCK"]
)
def test_printers_colors_are_not_inverted(encode: Encoder) -> None:
    bgr = decode_picture(encode(demo_scene())).bgr
    assert np.abs(bgr.astype(int) - demo_scene()).mean() < 2


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "jpeg", "packbits", "zstd"])
def test_every_compression_of_tiff_is_read(compression: str) -> None:
    content = by_pillow("TIFF", compression=compression)(demo_scene())
    assert np.abs(decode_picture(content).bgr.astype(int) - demo_scene()).mean() < 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("white", [1, 255, 65_535, 100_000])
def test_colors_as_floats_are_scaled(dtype: type, white: float) -> None:
    scene = demo_scene()
    values: np.ndarray = (scene / 255 * white * 0.99).astype(dtype)
    values[0, 0] = np.nan
    content = cv2.imencode(".tif", values)[1].tobytes()
    bgr = decode_picture(content).bgr
    brightest = scene.max() if white == 100_000 else 255 / 0.99  # beyond every usual white
    expected = scene / brightest * 255
    assert np.abs(bgr[1:].astype(int) - expected[1:]).mean() < 1


def test_of_an_animation_the_first_frame_is_read() -> None:
    frames = [Image.new("RGB", (64, 48), (value, value, value)) for value in (40, 120, 200)]
    for kind in ("GIF", "WEBP", "PNG", "AVIF"):
        content = io.BytesIO()
        frames[0].save(content, kind, save_all=True, append_images=frames[1:], duration=100)
        picture = decode_picture(content.getvalue())
        assert picture.size == (64, 48)
        assert abs(picture.bgr.mean() - 40) < 3, kind


def test_a_motion_photo_is_a_picture() -> None:
    """A video behind EOI holds any bytes, those of scan headers among them."""
    for name in ("JPEG", "JPEG progressive"):
        video = b"\0\0\0\x18ftypmp42" + SCAN_HEADER * 500 + frame_header(16, 16)
        assert decode_picture(ENCODERS[name](demo_scene()) + video).size == (640, 480)


def test_heic_names_the_package_it_needs() -> None:
    pillow_heif = pytest.importorskip(
        "pillow_heif", reason="NOT TESTED: HEIC pictures; `pip install pillow-heif`"
    )
    pillow_heif.register_heif_opener()
    content = by_pillow("HEIF")(demo_scene())
    assert picture_format(content) == "HEIC"
    picture = decode_picture(content)
    assert picture.size == (640, 480)
    assert np.abs(picture.bgr.astype(int) - demo_scene()).mean() < 6
    without = f"""
        import sys; sys.modules["pillow_heif"] = None
        from edge_daemon.core.picture import PictureRefused, decode_picture
        try: decode_picture({content[:100]!r})
        except PictureRefused as error: print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(without)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "HEIC, which needs one more package: pip install pillow-heif" in done.stdout
