"""Measures and writes lines of text.

ASCII text is written in OpenCV's own font. Other text is written by Pillow with the font file in
this package; Pillow and the font are loaded when they are first needed.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.types import ImageBgr, Point

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

ASCII_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
FONT_FILE: Final = Path(__file__).parent / "font" / "labels.ttf"
FONT_PX: Final = 32  # font height for size 1: its capitals are then as high as OpenCV's
ELLIPSIS: Final = ("…", "...")  # often the only non-ASCII character of an English text
INK_GAMMA: Final = 0.8  # strokes of one pixel look as bold as OpenCV's


def text_size(text: str, size: float) -> tuple[int, int]:
    """Return width and height in pixels of a line of `text` above its baseline."""
    text = text.replace(*ELLIPSIS)
    (width, height), _ = cv2.getTextSize(text if text.isascii() else "A", ASCII_FONT, size, 1)
    return (width if text.isascii() else _mask(text, size)[0].shape[1]), height


def put_text(bgr: ImageBgr, text: str, at: Point, size: float, color: tuple[int, int, int]) -> None:
    """Write `text` at `at`, the left end of its baseline, in `color` (blue first)."""
    text = text.replace(*ELLIPSIS)
    x, y = round(at.x), round(at.y)
    if text.isascii():
        thickness = max(1, round(size * 2.2))
        cv2.putText(bgr, text, (x, y), ASCII_FONT, size, color, thickness, cv2.LINE_AA)
        return
    mask, above = _mask(text, size)
    top, left = y - above, x
    inside = mask[max(-top, 0) :, max(-left, 0) :]
    part = bgr[max(top, 0) :, max(left, 0) :][: inside.shape[0], : inside.shape[1]]
    ink = inside[: part.shape[0], : part.shape[1], None]
    part[:] = np.rint(part * (1 - ink) + np.array(color) * ink).astype(np.uint8)


@lru_cache(maxsize=256)  # labels, and labels with a score of two digits
def _mask(text: str, size: float) -> tuple[NDArray[np.float32], int]:
    """Return the coverage of each pixel, 0 to 1, and the number of rows above the baseline."""
    from PIL import Image, ImageDraw  # noqa: PLC0415

    font = _font(max(round(FONT_PX * size), 1))
    ascent, descent = font.getmetrics()
    image = Image.new("L", (max(round(font.getlength(text)), 1), ascent + descent))
    ImageDraw.Draw(image).text((0, ascent), text, fill=255, font=font, anchor="ls")
    ink = np.asarray(image, np.float32) / 255
    return np.asarray(ink**INK_GAMMA, np.float32), ascent


@lru_cache(maxsize=8)
def _font(height_px: int) -> FreeTypeFont:
    from PIL import ImageFont  # noqa: PLC0415

    return ImageFont.truetype(FONT_FILE, height_px, layout_engine=ImageFont.Layout.BASIC)
