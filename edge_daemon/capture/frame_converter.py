"""Converts decoded video frames to BGR, upright and with square pixels."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any, Final

import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from edge_daemon.core.types import ImageBgr

_LARGEST_SIDE_PX: Final = 16_384  # after pixels were made square; the ratio may be nonsense
_MOST_SLANT: Final = 0.1  # of a display matrix that still counts as a right angle


class FrameConverter:
    """Converts frames to BGR as a player would show them."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def bgr(self, frame: VideoFrame, pixel_aspect: Fraction) -> ImageBgr:
        """Return the picture, turned and mirrored as the file says. Raises FFmpegError."""
        width, height = _square_size(frame.width, frame.height, pixel_aspect)
        converted = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="bgr24",
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        is_new = converted is not frame  # else the decoder may still use its memory
        bgr = _pixels(converted) if is_new else np.asarray(converted.to_ndarray(), np.uint8)
        return _upright(bgr, frame)


def _pixels(frame: VideoFrame) -> ImageBgr:
    """Return the picture of a frame in BGR, in the frame's own memory.

    A copy would take as much memory again, and leave gaps in the heap.
    """
    plane: Any = frame.planes[0]  # a buffer, which its type does not tell
    rows: ImageBgr = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)
    return rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Return how many times as wide as high a pixel is."""
    aspect = stream.sample_aspect_ratio
    return aspect if aspect and aspect > 0 else Fraction(1)


def _upright(bgr: ImageBgr, frame: VideoFrame) -> ImageBgr:
    """Apply the frame's display matrix, if it consists of right angles and mirrors.

    The matrix (a b; c d) moves the point (x, y) to (ax + cy, bx + dy), with y downward:
    https://ffmpeg.org/doxygen/trunk/group__lavu__video__display.html
    """
    # Not `frame.side_data`: it and the frame refer to each other, so that each decoded frame would
    # stay in memory until the next garbage collection.
    side_data = SideDataContainer(frame)  # type: ignore[call-arg]
    matrix = side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return bgr
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    straight, crossed = min(abs(a), abs(d)), min(abs(b), abs(c))
    if straight and max(abs(b), abs(c)) <= _MOST_SLANT * straight:
        across, down = a < 0, d < 0
    elif crossed and max(abs(a), abs(d)) <= _MOST_SLANT * crossed:
        bgr = np.asarray(cv2.transpose(bgr), np.uint8)
        across, down = c < 0, b < 0
    else:
        return bgr
    if not (across or down):
        return bgr
    return np.asarray(cv2.flip(bgr, -1 if across and down else int(across)), np.uint8)


def _square_size(width: int, height: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """Return the size in square pixels; one side grows, so that no detail is lost."""
    ratio = float(pixel_aspect)
    wider, higher = round(width * max(ratio, 1.0)), round(height / min(ratio, 1.0))
    return (width, height) if max(wider, higher) > _LARGEST_SIDE_PX else (wider, higher)
