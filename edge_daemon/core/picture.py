"""Decodes untrusted pictures; every picture that the daemon decodes goes through here.

Format, size and cost are read from the header, and pictures that are too large are refused before
they are decoded. Every failure of a decoder is turned into PictureRefused. In addition, OpenCV
itself enforces `OPENCV_IO_MAX_IMAGE_PIXELS`, which every command sets before OpenCV is loaded.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.picture_header import (
    AVIF,
    HEIC,
    JPEG,
    TIFF,
    BadHeader,
    PictureHeader,
    RareKind,
    picture_format,
    read_header,
)
from edge_daemon.core.types import ImageBgr

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS: Final = 40_000_000  # of an upload; decoding then takes 230 MB at most
PILLOWS_SHARE: Final = 3  # Pillow's decoders take up to three times the memory of OpenCV's
FLOATS_SHARE: Final = 9  # a color may take 24 bytes a pixel, and as many while it is scaled
MAX_SCANS: Final = 32  # of a JPEG: each is a pass over all pixels
MAX_SCANNED: Final = 10  # pixels of all scans together, in multiples of the pixel limit
MAX_COEFFICIENT_BYTES: Final = 5  # per pixel of the pixel limit
INTEGER_WHITES, FLOAT_WHITES = (65_535, 2**32), (1, 255, 65_535)  # what white may be stored as
LONGEST_SIDE_PX: Final = 32_766  # OpenCV's warps use 16-bit coordinates

_BY_OPENCV: Final = frozenset({JPEG, "PNG", "WebP", "BMP", TIFF, "PNM"})
_BY_PILLOW: Final = {  # with Pillow's names; TIFF only if OpenCV fails, as with floats
    "GIF": "GIF",
    AVIF: "AVIF",
    "JPEG 2000": "JPEG2000",
    HEIC: "HEIF",
    TIFF: "TIFF",
}
FORMATS: Final = _BY_OPENCV | _BY_PILLOW.keys()
_JPEG_REDUCTIONS: Final = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


class RefusalKind(Enum):
    """Why a picture is refused."""

    UNKNOWN_FORMAT = "unknown format"
    TOO_LARGE = "too large"
    TOO_MANY_SCANS = "too many scans"
    DAMAGED = "damaged"


class PictureRefused(ValueError):
    """A picture cannot be decoded; the message is a clause such as "the picture is damaged"."""

    def __init__(self, kind: RefusalKind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A decoded picture, rotated upright by its EXIF data.

    `size` is the width and height of the file's picture in pixels, after the same rotation. `bgr`
    may be smaller, by the same factor in both directions.
    """

    bgr: ImageBgr
    size: tuple[int, int]
    format: str

    @property
    def scale(self) -> float:
        """The side of one pixel of `bgr` in pixels of the file."""
        height, width = self.bgr.shape[:2]
        scale: float = max(self.size) / max(height, width)
        return scale


def decode_picture(
    content: bytes,
    *,
    formats: frozenset[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    reduced_pixels: int | None = None,
) -> DecodedPicture:
    """Decode the first picture in `content`; it must be in one of `formats`.

    Its sides are divided by 2, 4, 8 and so on until it has at most `reduced_pixels` and no side is
    longer than LONGEST_SIDE_PX. Raises PictureRefused.
    """
    kind = picture_format(content)
    if kind is None or kind not in formats:
        raise PictureRefused(RefusalKind.UNKNOWN_FORMAT, _unknown_format(kind, formats))
    try:
        if kind in _BY_OPENCV:
            return _decoded_by_opencv(content, kind, max_pixels, reduced_pixels or max_pixels)
        return _decoded_by_pillow(content, kind, max_pixels, reduced_pixels or max_pixels)
    except MemoryError as error:
        sentence = "the picture needs more memory than is free"
        raise PictureRefused(RefusalKind.TOO_LARGE, sentence) from error


def plain_jpeg_header(content: bytes, max_pixels: int) -> PictureHeader | None:
    """Return the header of a JPEG of one scan without EXIF data; None for other pictures.

    `decode_reduced` decodes only such JPEGs. Raises PictureRefused if a JPEG is damaged or has
    more than `max_pixels`.
    """
    if picture_format(content) != JPEG:
        return None
    header = _checked_header(content, max_pixels)
    is_plain = header.scans == 1 and header.coefficient_bytes == 0 and not header.has_exif
    return header if is_plain else None


def decode_reduced(jpeg: bytes, factor: int) -> ImageBgr:
    """Decode a JPEG with its sides divided by `factor`: 1, 2, 4 or 8. Raises PictureRefused.

    Call it only where `plain_jpeg_header` returned a header.
    """
    try:
        bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), _JPEG_REDUCTIONS[factor])
    except cv2.error:
        bgr = None
    if bgr is None:
        raise PictureRefused(RefusalKind.DAMAGED, "the picture is damaged and cannot be decoded")
    return np.asarray(bgr, np.uint8)


def _checked_header(content: bytes, max_pixels: int) -> PictureHeader:
    try:
        header = read_header(content)
    except RareKind as error:
        sentence = f"the picture is {error}, which cannot be decoded"
        raise PictureRefused(RefusalKind.UNKNOWN_FORMAT, sentence) from error
    except BadHeader as error:
        raise PictureRefused(RefusalKind.DAMAGED, f"the picture is damaged: {error}") from error
    _check_cost(header, max_pixels)
    return header


def _unknown_format(kind: str | None, formats: frozenset[str]) -> str:
    *first, last = sorted(formats)
    names = f"{', '.join(first)} or {last}"
    if kind is not None:
        return f"the picture is {kind}, not {names}"
    if formats == FORMATS:
        return "this is not a picture in a known format"
    return f"this is not a {names} picture"


def _decoded_by_opencv(
    content: bytes, kind: str, max_pixels: int, reduced_pixels: int
) -> DecodedPicture:
    header = _checked_header(content, max_pixels)
    factor = _reduction(header, reduced_pixels)
    by_decoder = min(factor, 8) if kind == JPEG else 1
    try:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), _JPEG_REDUCTIONS[by_decoder])
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        bgr = None
    if bgr is None and kind == TIFF:
        try:
            return _decoded_by_pillow(content, kind, max_pixels, reduced_pixels)
        except PictureRefused as refused:
            if refused.kind is not RefusalKind.DAMAGED:
                raise
            if (floats := _float_colors(content, header, max_pixels)) is None:
                raise
            return _picture(floats, header, kind, factor, factor)
    if bgr is None:
        np.empty((header.height, header.width, 3), np.uint8)  # MemoryError, which decoders hide
        raise PictureRefused(RefusalKind.DAMAGED, "the picture is damaged and cannot be decoded")
    return _picture(np.asarray(bgr, np.uint8), header, kind, factor, factor // by_decoder)


def _float_colors(content: bytes, header: PictureHeader, max_pixels: int) -> ImageBgr | None:
    """Decode a TIFF whose colors are floats, which OpenCV reads unchanged only; None for others."""
    _check_cost(header, max_pixels // FLOATS_SHARE)
    try:
        values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if values is None or values.dtype.kind != "f" or values.ndim == 2:
        return None
    return _eight_bits(np.asarray(values[:, :, :3], np.float32), FLOAT_WHITES)


def _decoded_by_pillow(
    content: bytes, kind: str, max_pixels: int, reduced_pixels: int
) -> DecodedPicture:
    """Decode formats that not every build of OpenCV reads; Pillow is imported only for these."""
    from PIL import Image, ImageOps  # noqa: PLC0415

    if kind == HEIC:
        _register_heif()
    Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS is checked instead
    try:
        with Image.open(io.BytesIO(content), formats=[_BY_PILLOW[kind]]) as image:
            header = PictureHeader(*image.size)
            _check_cost(header, max_pixels // PILLOWS_SHARE)
            ImageOps.exif_transpose(image, in_place=True)
            bgr = _bgr(image)
    except (PictureRefused, MemoryError):
        raise
    except Exception as error:  # plugins raise almost anything on damaged files
        sentence = "the picture is damaged and cannot be decoded"
        if kind == TIFF:
            sentence = (
                "the TIFF is damaged or of a kind that cannot be decoded; export it as PNG or JPEG"
            )
        raise PictureRefused(RefusalKind.DAMAGED, sentence) from error
    factor = _reduction(header, reduced_pixels)
    return _picture(bgr, header, kind, factor, factor)


def _register_heif() -> None:
    try:
        import pillow_heif  # noqa: PLC0415
    except ImportError:
        raise PictureRefused(
            RefusalKind.UNKNOWN_FORMAT,
            "the picture is HEIC, which needs one more package: pip install pillow-heif",
        ) from None
    pillow_heif.register_heif_opener()


def _bgr(image: Image) -> ImageBgr:
    """Convert to 8 bits a channel; scales deeper channels and drops transparency."""
    if image.mode[0] in "IF":  # 16 or 32 bits, or floats
        whites = INTEGER_WHITES if image.mode[0] == "I" else FLOAT_WHITES
        gray = _eight_bits(np.array(image, np.float32), whites)
        return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)
    rgb = np.array(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR, rgb), np.uint8)


def _eight_bits(values: NDArray[np.float32], whites: Sequence[float]) -> NDArray[np.uint8]:
    """Scale `values`, in place, by the first of `whites` that none exceeds."""
    np.nan_to_num(values, copy=False, posinf=0, neginf=0)
    values /= next((white for white in whites if values.max() <= white), values.max())
    values *= 255
    return values.clip(0, 255, out=values).round(out=values).astype(np.uint8)


def _check_cost(header: PictureHeader, max_pixels: int) -> None:
    """Raise PictureRefused if decoding would take too much memory or time."""
    width, height = header.width, header.height
    if min(width, height) < 1:
        raise PictureRefused(RefusalKind.DAMAGED, "the picture is damaged: it has no pixels")
    if header.is_reduced:
        raise PictureRefused(
            RefusalKind.UNKNOWN_FORMAT,
            "the picture is a camera's raw file; export it as JPEG",
        )
    if max(width * height, header.tile_pixels) > max_pixels:
        raise PictureRefused(
            RefusalKind.TOO_LARGE,
            f"the picture is {width}×{height} pixels; the limit is "
            f"{max_pixels // 1_000_000} megapixels",
        )
    if (
        header.scans > MAX_SCANS
        or header.scans * width * height > MAX_SCANNED * max_pixels
        or header.coefficient_bytes > MAX_COEFFICIENT_BYTES * max_pixels
    ):
        raise PictureRefused(
            RefusalKind.TOO_MANY_SCANS,
            f"the picture is a JPEG of {width}×{height} pixels in {header.scans} scans, which "
            "takes too much memory or time; save it as a baseline JPEG",
        )


def _reduction(header: PictureHeader, reduced_pixels: int) -> int:
    """Return the smallest power of two by which both sides have to be divided."""
    factor, pixels, longest_px = 1, header.width * header.height, max(header.width, header.height)
    while pixels > reduced_pixels * factor**2 or longest_px > LONGEST_SIDE_PX * factor:
        factor *= 2
    return factor


def _picture(
    bgr: ImageBgr, header: PictureHeader, kind: str, factor: int, still_to_reduce: int
) -> DecodedPicture:
    """Finish the reduction of `bgr`, and swap the header's sides if EXIF rotated the picture."""
    height, width = bgr.shape[:2]
    size = (header.width, header.height)
    expected = tuple(-(-side * still_to_reduce // factor) for side in size)
    if (width, height) != expected and (height, width) == expected:
        size = (header.height, header.width)
    if still_to_reduce > 1:
        smaller = (-(-width // still_to_reduce), -(-height // still_to_reduce))
        bgr = np.asarray(cv2.resize(bgr, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    return DecodedPicture(bgr, size, kind)
