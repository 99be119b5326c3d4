"""How often a blurred stream shows an unblurred face: people who enter the picture, by two knobs.

`python -m benchmarks.blurred_entrances CLIP` slides the first frame of a clip with one face into an
empty picture, from three sides at three sizes, as someone walks in, and counts the shown frames in
which at least half of the face is in the picture and over a fifth of that is not covered.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.core.types import Box, ImageBgr
from edge_daemon.pipeline.privacy import HINDSIGHT_S, WEAK_SCORE, BlurAreas
from edge_daemon.vision.detector import Detector, build_detector
from edge_daemon.vision.plan import Hint
from edge_daemon.vision.tracker import Tracker

MODELS = Path(__file__).resolve().parent.parent / "models"
FPS = 15
FRAMES = 45
SPEED = 0.7  # face widths a second
MIN_SCORE = 0.5  # the default of detector.min_score


def main(clip: str) -> None:
    """Print a table, the settings in use last."""
    ok, picture = cv2.VideoCapture(clip).read()
    if not ok:
        sys.exit(f"{clip}: cannot be read.")
    bgr = np.asarray(picture, np.uint8)
    print("| weakest score blurred | hindsight, s | frames of 9 entrances with a face shown |")
    print("|---|---|---|")
    for score, hindsight_s in product((MIN_SCORE, WEAK_SCORE), (0.0, HINDSIGHT_S / 2, HINDSIGHT_S)):
        detector = build_detector("blazeface", models_dir=MODELS, min_score=score)
        late = round(hindsight_s * FPS)
        shown = sum(_shown(each, detector, late) for each in _entrances(bgr, detector))
        print(f"| {score} | {hindsight_s} | {shown} |")


def _entrances(bgr: ImageBgr, detector: Detector) -> Iterator[list[tuple[ImageBgr, Box]]]:
    """Pictures of each entrance, with where the face really is."""
    face = max(detector.detect(bgr), key=lambda found: found.score).box
    height, width = bgr.shape[:2]
    for scale, side in product((1.0, 1.5, 2.5), ("left", "right", "bottom")):
        large = cv2.resize(bgr, None, fx=scale, fy=scale)
        x, y, w, h = (value * scale for value in face)
        entrance = []
        for number in range(FRAMES):
            way = number / FPS * SPEED * w
            left = {"left": way - w, "right": width - way}.get(side, (width - w) / 2)
            top = height - way if side == "bottom" else (height - h) / 2
            move = np.array([[1, 0, left - x], [0, 1, top - y]])
            picture = cv2.warpAffine(
                large, move, (width, height), borderMode=cv2.BORDER_REPLICATE
            ).astype(np.uint8, copy=False)
            entrance.append((picture, Box(left, top, w, h)))
        yield entrance


def _shown(entrance: list[tuple[ImageBgr, Box]], detector: Detector, late: int) -> int:
    """Return how many frames show a face, when each is drawn `late` frames after it was taken."""
    memory, tracker, shown = BlurAreas(), Tracker(), 0
    for number, (bgr, _) in enumerate(entrance):
        now_s = number / FPS
        hint = Hint(number, tracker.known(now_s), tracker.has_lost)
        found = detector.detect(bgr, hint)
        sure = [each for each in found if each.score >= MIN_SCORE]
        areas = memory.update(found, tracker.update(sure, now_s), now_s)
        if number >= late:
            shown += int(_is_seen(entrance[number - late][1], areas, bgr.shape[:2]))
    return shown


def _is_seen(face: Box, areas: tuple[Box, ...], shape: tuple[int, ...]) -> bool:
    mask = np.zeros(shape, np.uint8)
    _fill(mask, face, 1)
    inside = int(mask.sum())
    for area in areas:
        _fill(mask, area, 0)
    return inside >= face.area / 2 and int(mask.sum()) > inside / 5


def _fill(mask: np.ndarray, box: Box, value: int) -> None:
    x, y = max(round(box.x), 0), max(round(box.y), 0)
    mask[y : max(round(box.y + box.h), 0), x : max(round(box.x + box.w), 0)] = value


if __name__ == "__main__":
    main(sys.argv[1])
