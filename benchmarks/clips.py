"""Reads the clips of $MIEN_DATA as frames of 640×480, and composes frames with several faces."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edge_daemon.core.types import ImageBgr
from edge_daemon.vision.detector import Detector

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 640, 480
CELLS = 4  # a composed frame has places for 4×4 faces


def clips() -> list[Path]:
    """Return the real clips; ends the program with one sentence if there are none."""
    media = Path(os.environ.get("MIEN_DATA", ROOT / "../shared/data")).resolve() / "media"
    found = sorted([*media.glob("*.mkv"), *media.glob("*.mp4")])
    if not found:
        raise SystemExit(f"no clips in {media}: set MIEN_DATA to the folder that holds media/")
    return found


class Timed(NamedTuple):
    """A frame and its time in seconds, at its clip's rate."""

    bgr: ImageBgr
    at_s: float


def timed_frames(paths: Sequence[Path]) -> Iterator[Timed]:
    """Yield the clips' frames one after the other, without end."""
    at_s = 0.0
    while True:
        for path in paths:
            # On one thread, so that nothing is decoded while a frame is timed.
            video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
            period_s = 1 / video.get(cv2.CAP_PROP_FPS)
            while (read := video.read())[0]:
                yield Timed(fitted(np.asarray(read[1], np.uint8)), at_s := at_s + period_s)
            video.release()


def frames(paths: Sequence[Path]) -> Iterator[ImageBgr]:
    """Yield the pictures of `timed_frames` alone."""
    return (timed.bgr for timed in timed_frames(paths))


def fitted(bgr: ImageBgr) -> ImageBgr:
    """Scale `bgr` to fill 640×480, with black bars if its shape is another."""
    height, width = bgr.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    size = (round(width * scale), round(height * scale))
    if size == (width, height) == (WIDTH, HEIGHT):
        return bgr
    result = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x, y = (WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2
    result[y : y + size[1], x : x + size[0]] = cv2.resize(bgr, size)
    return result


def composed(path: Path, count: int, detector: Detector) -> ImageBgr:
    """A frame with `count` faces, 0 or a square up to 16: the clip's first face again and again.

    They stand on the clip's own first frame, blurred. Ends the program if `detector` finds another
    number of faces in it.
    """
    bgr = next(frames([path]))
    result = np.asarray(cv2.GaussianBlur(bgr, (0, 0), 40), np.uint8)
    patch = _patch(bgr, detector)
    rows = math.isqrt(count)
    step = CELLS // max(rows, 1)
    for row in range(rows):
        for column in range(rows):
            x, y = column * step * WIDTH // CELLS, row * step * HEIGHT // CELLS
            result[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
    if (found := len(detector.detect(result))) != count:
        raise SystemExit(f"{path}: of {count} faces in the composed frame {found} are found")
    return result


def _patch(bgr: ImageBgr, detector: Detector) -> ImageBgr:
    """Cut out the surroundings of the best face, as large as a cell."""
    center = detector.detect(bgr)[0].box.center
    width, height = WIDTH // CELLS, HEIGHT // CELLS
    x = min(max(round(center.x) - width // 2, 0), WIDTH - width)
    y = min(max(round(center.y) - height // 2, 0), HEIGHT - height)
    return bgr[y : y + height, x : x + width]
