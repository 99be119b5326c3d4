"""The guard before every picture decoder: sizes from headers, limits, and damaged pictures."""

from __future__ import annotations

import functools
import io
import struct
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.paths import ROOT

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.core.picture import (
    LONGEST_SIDE_PX,
    MAX_PIXELS,
    PictureRefused,
    RefusalKind,
    decode_picture,
)
from edge_daemon.core.picture_header import BadHeader, picture_format, read_header

Encoder = Callable[[np.ndarray], bytes]


def by_opencv(suffix: str, *options: int) -> Encoder:
    def encode(bgr: np.ndarray) -> bytes:
        ok, content = cv2.imencode(suffix, bgr, list(options))
        assert ok
        return content.tobytes()

    return encode


def by_pillow(kind: str, **options: object) -> Encoder:
    def encode(bgr: np.ndarray) -> bytes:
        content = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1])).save(content, kind, **options)
        return content.getvalue()

    return encode


ENCODERS: dict[str, Encoder] = {
    "JPEG": by_opencv(".jpg"),
    "JPEG progressive": by_pillow("JPEG", progressive=True),
    "JPEG gray": lambda bgr: by_opencv(".jpg")(bgr[:, :, 0]),
    "PNG": by_opencv(".png"),
    "WebP": by_opencv(".webp", cv2.IMWRITE_WEBP_QUALITY, 90),
    "WebP lossless": by_pillow("WEBP", lossless=True),
    "WebP with EXIF": by_pillow("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "BMP": by_opencv(".bmp"),
    "TIFF": by_opencv(".tif"),
    "TIFF big": by_pillow("TIFF", big_tiff=True),
    "PNM": by_opencv(".ppm"),
    "GIF": by_pillow("GIF"),
    "AVIF": by_pillow("AVIF"),
    "JPEG 2000": by_pillow("JPEG2000"),
}


def of_floats(bgr: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(bgr[:, :, 0].astype(np.float32)).save(content, "TIFF")
    return content.getvalue()


def of_float_colors(bgr: np.ndarray) -> bytes:
    return cv2.imencode(".tif", bgr.astype(np.float64) / 255)[1].tobytes()


def refusal_of(content: bytes, max_pixels: int = MAX_PIXELS) -> RefusalKind:
    with pytest.raises(PictureRefused) as caught:
        decode_picture(content, max_pixels=max_pixels)
    assert str(caught.value)[0].islower()
    assert not str(caught.value).endswith(".")
    return caught.value.kind


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return Demo().render(5.0)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_format_is_decoded(name: str, scene: np.ndarray) -> None:
    content = ENCODERS[name](scene)
    picture = decode_picture(content)
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
def test_every_mode_of_color_is_read(kind: str, mode: str, scene: np.ndarray) -> None:
    content = io.BytesIO()
    try:
        Image.fromarray(scene[:, :, ::-1].copy()).convert(mode).save(content, kind)
    except (OSError, ValueError):
        pytest.skip(f"{kind} has no {mode}")
    bgr = decode_picture(content.getvalue()).bgr
    assert bgr.shape == scene.shape
    assert abs(bgr.mean() - scene.mean()) < 3


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "jpeg", "packbits", "zstd"])
def test_every_compression_of_tiff_is_read(compression: str, scene: np.ndarray) -> None:
    content = by_pillow("TIFF", compression=compression)(scene)
    assert np.abs(decode_picture(content).bgr.astype(int) - scene).mean() < 3


def test_a_tiff_of_a_kind_that_nobody_decodes_is_not_called_damaged_alone() -> None:
    unknown_compression = tiff_header(160, 120, t259=34_661)
    with pytest.raises(PictureRefused, match="of a kind that cannot be decoded; export it as PNG"):
        decode_picture(unknown_compression)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("white", [1, 255, 65_535, 100_000])
def test_colors_as_floats_are_scaled(scene: np.ndarray, dtype: type, white: float) -> None:
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


# What claims more than it holds


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def frame_header(width: int, height: int) -> bytes:
    """JPEG's SOF0 of three components."""
    components = bytes([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1])
    return b"\xff\xc0\x00\x11\x08" + struct.pack(">HHB", height, width, 3) + components


SCAN_HEADER = b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00"


def tiff_header(width: int, height: int, **tiles: int) -> bytes:
    tags = {256: width, 257: height} | {int(tag[1:]): value for tag, value in tiles.items()}
    return tiff_of(*((tag, 4, value) for tag, value in tags.items()))


def tiff_of(*entries: tuple[int, int, int]) -> bytes:
    """Return the header of a TIFF with these tags, kinds of numbers and values."""
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4)


def gif_header(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHH", 0, 0, width, height) + b"\0\x08\0"
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\xf0\0\0" + bytes(6) + frame


@pytest.mark.parametrize(
    "content",
    [
        png_header(65_500, 65_500),
        png_header(2**31 - 1, 2**31 - 1),
        b"\xff\xd8" + frame_header(65_500, 65_500) + SCAN_HEADER + bytes(100),
        gif_header(65_500, 65_500),
        tiff_header(65_500, 65_500),
        tiff_header(16, 16, t322=65_536, t323=65_536),
        tiff_of((256, 4, 65_500), (257, 4, 65_500), (256, 4, 16), (257, 4, 16)),
        tiff_of((256, 4, 16), (257, 4, 16), (322, 9, 65_536), (323, 9, 65_536)),
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 65_500, -65_500) + bytes(200),
        b"P6 # a comment\n65500 # 12\n65500\n255\n" + bytes(100),
        b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
    ],
    ids=[
        "png",
        "png of 2^62",
        "jpeg",
        "gif",
        "tiff",
        "tiff's tile",
        "tiff, twice",
        "tiff, signed",
        "bmp",
        "pnm",
        "webp",
    ],
)
def test_a_claim_is_refused_before_it_is_decoded(content: bytes) -> None:
    assert refusal_of(content) is RefusalKind.TOO_LARGE
    assert refusal_of(content, max_pixels=256_000_000) is RefusalKind.TOO_LARGE


def with_hidden_size(between: bytes) -> bytes:
    """Return a JPEG of 65500×16000 whose frame header stands behind what has no length.

    Whoever reads the two bytes after TEM, RSTn or a stuffed zero as a length jumps to another
    frame header, of 16×16.
    """
    true = frame_header(65_500, 16_000)
    comment = b"\xff\xfe\0\x04ab"
    false = bytes(600) + frame_header(16, 16) + SCAN_HEADER
    return b"\xff\xd8" + comment + between + true + SCAN_HEADER + false


@pytest.mark.parametrize(
    "between",
    [b"\xff\x01", b"\xff\xd0", b"\xff\xd7", b"\xff\x00", b"\xff\xff\xff", b"\x00\x00", b"rubbish"],
    ids=["TEM", "RST0", "RST7", "stuffed zero", "fill bytes", "zeros", "rubbish"],
)
def test_no_marker_hides_a_size(between: bytes) -> None:
    assert read_header(with_hidden_size(between)).width == 65_500
    assert refusal_of(with_hidden_size(between)) is RefusalKind.TOO_LARGE


def test_a_second_frame_header_is_refused() -> None:
    content = b"\xff\xd8" + frame_header(16, 16) + frame_header(65_500, 600) + SCAN_HEADER
    assert refusal_of(content + bytes(100)) is RefusalKind.DAMAGED


BETWEEN = st.sampled_from(
    [b"\xff", b"\x00", b"\xff\x01", b"\xff\xd3", b"\xff\x00", b"x", b"\xff\xfe\0\x03a"]
)
EDITS = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=8)


def edited(content: bytes, edits: list[tuple[int, int]], first: int = 0) -> bytes:
    """Replace single bytes from `first` on."""
    changed = bytearray(content)
    for place, value in edits:
        changed[first + place % (len(changed) - first)] = value
    return bytes(changed)


@given(st.integers(0, 20), st.lists(BETWEEN, max_size=6), EDITS.map(lambda edits: edits[:2]))
def test_headers_agree_with_the_decoder(
    border: int, pieces: list[bytes], edits: list[tuple[int, int]]
) -> None:
    """Whatever is put between a JPEG's segments, OpenCV decodes the size that was read."""
    whole = by_opencv(".jpg")(np.zeros((40, 56, 3), np.uint8))
    borders = [2]
    while whole[borders[-1] + 1] != 0xDA:
        borders.append(borders[-1] + 2 + int.from_bytes(whole[borders[-1] + 2 : borders[-1] + 4]))
    at = borders[border % len(borders)]
    content = edited(whole[:at] + b"".join(pieces) + whole[at:], edits, first=2)
    try:
        header = read_header(content)
        small = header.width * header.height < 10_000_000
    except BadHeader:
        small, header = True, None
    if not small:
        return  # it is refused; OpenCV would only take long
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if bgr is not None:
        assert header is not None
        assert (header.height, header.width) == bgr.shape[:2]


def test_a_motion_photo_is_a_picture(scene: np.ndarray) -> None:
    """A video behind EOI holds any bytes, those of scan headers among them."""
    for name in ("JPEG", "JPEG progressive"):
        video = b"\0\0\0\x18ftypmp42" + SCAN_HEADER * 500 + frame_header(16, 16)
        assert decode_picture(ENCODERS[name](scene) + video).size == (640, 480)


def test_too_many_scans_are_refused() -> None:
    content = ENCODERS["JPEG progressive"](np.zeros((64, 64, 3), np.uint8))
    assert 1 < read_header(content).scans < 20
    scan = content[content.index(b"\xff\xda") : content.rindex(b"\xff\xd9")]
    assert refusal_of(content[:-2] + scan * 20 + b"\xff\xd9") is RefusalKind.TOO_MANY_SCANS


def test_the_cost_of_scans_grows_with_the_pixels() -> None:
    """4:4:4 in several scans needs six bytes a pixel beside the picture."""
    progressive = by_pillow("JPEG", progressive=True, subsampling=0)
    flat = np.zeros((6000, 6000, 3), np.uint8)
    assert flat[..., 0].size < MAX_PIXELS
    assert refusal_of(progressive(flat)) is RefusalKind.TOO_MANY_SCANS
    assert decode_picture(by_opencv(".jpg")(flat), reduced_pixels=2**22).size == (6000, 6000)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", RefusalKind.UNKNOWN_FORMAT),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", RefusalKind.UNKNOWN_FORMAT),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), RefusalKind.UNKNOWN_FORMAT),
        (b"\0\0\0\x18ftypmp42" + bytes(100), RefusalKind.UNKNOWN_FORMAT),
        (tiff_header(160, 120, t254=1), RefusalKind.UNKNOWN_FORMAT),
        (b"\xff\xd8\xff", RefusalKind.DAMAGED),
        (png_header(640, 480), RefusalKind.DAMAGED),
        (png_header(0, 480), RefusalKind.DAMAGED),
        (b"\x89PNG\r\n\x1a\n\0\0", RefusalKind.DAMAGED),
        (b"\xff\xd8" + frame_header(100, 0) + SCAN_HEADER, RefusalKind.DAMAGED),
        (b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0", RefusalKind.DAMAGED),
        (b"P6 x y 255\n", RefusalKind.DAMAGED),
        (tiff_header(16, 16)[:20], RefusalKind.DAMAGED),
        (gif_header(16, 16), RefusalKind.DAMAGED),
        (b"\0\0\0\x18ftypavif" + bytes(100), RefusalKind.DAMAGED),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100), RefusalKind.DAMAGED),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, kind: RefusalKind) -> None:
    assert refusal_of(content) is kind


@functools.cache
def flat(name: str) -> bytes:
    return ENCODERS[name](np.full((48, 64, 3), 99, np.uint8))


@given(st.sampled_from(sorted(ENCODERS)), st.floats(0, 1), EDITS)
def test_any_damage_ends_in_a_refusal_or_a_picture(
    name: str, share: float, edits: list[tuple[int, int]]
) -> None:
    whole = flat(name)
    content = edited(whole[: max(round(share * len(whole)), 4)], edits)
    try:
        picture = decode_picture(content)
    except PictureRefused as error:
        assert str(error)
    else:
        assert picture.bgr.dtype == np.uint8
        assert picture.bgr.size <= 3 * MAX_PIXELS


@pytest.mark.parametrize("name", ENCODERS)
def test_half_a_picture_is_damaged(name: str, scene: np.ndarray) -> None:
    content = ENCODERS[name](scene)
    assert refusal_of(content[: len(content) // 2]) is RefusalKind.DAMAGED


def test_truncated_headers_never_crash() -> None:
    for encode in ENCODERS.values():
        whole = encode(np.zeros((8, 8, 3), np.uint8))
        for length in range(min(len(whole), 400)):
            assert picture_format(whole[:length]) in {None, picture_format(whole)}
            try:
                read_header(whole[:length])
            except BadHeader as error:
                assert str(error)


def test_heic_names_the_package_it_needs(scene: np.ndarray) -> None:
    pillow_heif = pytest.importorskip(
        "pillow_heif", reason="NOT TESTED: HEIC pictures; `pip install pillow-heif`"
    )
    pillow_heif.register_heif_opener()
    content = by_pillow("HEIF")(scene)
    assert picture_format(content) == "HEIC"
    picture = decode_picture(content)
    assert picture.size == (640, 480)
    assert np.abs(picture.bgr.astype(int) - scene).mean() < 6
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


def test_no_memory_means_that_picture_only() -> None:
    """With 600 MB of address space 200 megapixels are refused, and the next picture is decoded."""
    program = """
        import resource
        import cv2, numpy as np
        from edge_daemon.core.picture import PictureRefused, RefusalKind, decode_picture
        cv2.setNumThreads(1)
        small = cv2.imencode(".png", np.zeros((20, 20, 3), np.uint8))[1].tobytes()
        large = cv2.imencode(".png", np.zeros((14_000, 14_000), np.uint8))[1].tobytes()
        decode_picture(small)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
        try: decode_picture(large, max_pixels=256_000_000)
        except PictureRefused as error: print(error.kind is RefusalKind.TOO_LARGE, error)
        print(decode_picture(small).size)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "True the picture needs more memory than is free",
        "(20, 20)",
    ], done.stderr


@pytest.mark.parametrize(
    ("side", "encode"),
    [(6320, by_opencv(".png")), (6320, by_pillow("JPEG", progressive=True)),
     (5700, by_pillow("JPEG", progressive=True, subsampling=0)), (3650, by_pillow("GIF")),
     (3650, by_pillow("AVIF", speed=10)), (3650, by_pillow("JPEG2000", irreversible=True)),
     (3650, of_floats), (2100, of_float_colors)],
    ids=["png", "4:2:0", "4:4:4", "gif", "avif", "jpeg 2000", "tiff of floats", "of float colors"],
)  # fmt: skip
def test_the_largest_picture_takes_bounded_memory(
    side: int, encode: Encoder, tmp_path: Path
) -> None:
    """With a daemon of some 150 MB it stays below the service's MemoryMax of 512 MB."""
    (tmp_path / "large").write_bytes(encode(np.full((side, side, 3), 90, np.uint8)))
    program = """
        import re, sys
        from pathlib import Path
        import cv2, numpy as np
        from edge_daemon.core.picture import decode_picture
        def peak_mb():
            status = Path("/proc/self/status").read_text()
            return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024
        decode_picture(cv2.imencode(".png", np.zeros((20, 20, 3), np.uint8))[1].tobytes())
        content = Path(sys.argv[1]).read_bytes()
        before_mb = peak_mb()
        decode_picture(content, reduced_pixels=2048 * 2048)
        print(peak_mb() - before_mb)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), tmp_path / "large"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 280


def test_opencv_itself_refuses_what_the_header_hid() -> None:
    """The second wall: the limit that `mien` sets for OpenCV."""
    program = """
        import os
        from edge_daemon.commands import MAX_PIXELS
        os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = MAX_PIXELS
        import cv2, numpy as np
        large = cv2.imencode(".png", np.zeros((7000, 7000), np.uint8))[1]
        try: print(cv2.imdecode(large, cv2.IMREAD_COLOR))
        except cv2.error as error: print("refused")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() in {"refused", "None"}, done.stderr
