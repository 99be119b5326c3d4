"""The pictures that a camera on loopback shows: an empty room, one face, and four faces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np

from benchmarks.clips import HEIGHT, ROOT, WIDTH, clips, frames
from edge_daemon.core.types import ImageBgr
from edge_daemon.vision.detector import Detector, build_detector

SCENES: Final = {"empty room": 0, "one face": 1, "four faces": 4}  # with their numbers of faces
PICTURES: Final = 16  # there and back again: 30 pictures until the scene repeats
QUALITY: Final = 85
NOISE: Final = 2.0  # standard deviation of a sensor's noise, of 255


class Mode(NamedTuple):
    """What a camera delivers: pixels, and pictures a second."""

    width: int
    height: int
    fps: int

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    def __str__(self) -> str:
        return f"{self.width}×{self.height}@{self.fps}"


def write_pictures(folder: Path, modes: Iterable[Mode]) -> None:
    """Write every scene in every mode, as `folder`/FACES-SIZE/0.jpg and so on.

    The face is that of a clip, at the clip's own rate; four are of four clips. Frames are enlarged,
    and each picture has noise of its own.
    """
    detector = build_detector("blazeface", models_dir=ROOT / "models", face_range="full")
    rng = np.random.default_rng(1)
    for mode in modes:
        shape = (mode.height, mode.width, 3)
        noises = [rng.normal(0, NOISE, shape).astype(np.float32) for _ in range(4)]
        for faces in SCENES.values():
            place = folder / f"{faces}-{mode.size}"
            place.mkdir()
            for number, bgr in enumerate(islice(_frames(faces, detector), PICTURES)):
                large = cv2.resize(bgr, (mode.width, mode.height)) + noises[number % 4]
                (place / f"{number}.jpg").write_bytes(_jpeg(large))


def _frames(faces: int, detector: Detector) -> Iterator[ImageBgr]:
    paths = clips()
    if faces == 0:
        return repeat(np.asarray(cv2.GaussianBlur(next(frames(paths)), (0, 0), 40), np.uint8))
    if faces == 1:
        return frames(paths)
    return _quarters([frames([path]) for path in paths[:faces]], detector)


def _quarters(sides: list[Iterator[ImageBgr]], detector: Detector) -> Iterator[ImageBgr]:
    """Yield four clips' surroundings of the face as one frame, at the clips' own size."""
    corners = [_corner(next(side), detector) for side in sides]
    while True:
        one, two, three, four = (
            next(side)[y : y + HEIGHT // 2, x : x + WIDTH // 2]
            for side, (x, y) in zip(sides, corners, strict=True)
        )
        yield np.vstack([np.hstack([one, two]), np.hstack([three, four])])


def _corner(bgr: ImageBgr, detector: Detector) -> tuple[int, int]:
    """Return the corner of the quarter of a frame around its best face."""
    center = detector.detect(bgr)[0].box.center
    x = min(max(round(center.x) - WIDTH // 4, 0), WIDTH // 2)
    y = min(max(round(center.y) - HEIGHT // 4, 0), HEIGHT // 2)
    return x, y


def _jpeg(values: np.ndarray) -> bytes:
    bgr = np.clip(values, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])
