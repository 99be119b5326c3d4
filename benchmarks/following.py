"""Measures what ways to follow faces between searches of the whole frame cost and lose.

    python -m benchmarks.following        (writes benchmarks/following.md)

On real clips, each way beside full-range BlazeFace on every frame. All take each frame in turn, so
that they share whatever else the machine does; compare the ratios, not the milliseconds.
`MIEN_DATA` names the folder that holds `media/` (default `../shared/data`).
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.core.types import Box, Detection, Eyes, ImageBgr, Point, Track
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.detector import Detector, build_detector
from edge_daemon.vision.model_file import read_model_file
from edge_daemon.vision.tracker import Tracker

REPO = Path(__file__).parents[1]
AROUND = 3.0  # the crop's side in sides of the face's box


@dataclass
class Way:
    """Searches every `interval`th frame; between them crops round the faces, or nothing."""

    name: str
    interval: int = 1
    crops: bool = False
    times_ms: dict[int, list[float]] = field(default_factory=dict)  # by the number of faces
    overlaps: list[float] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)
    missed: int = 0

    def tracks(
        self, tracker: Tracker, full: Detector, short: Detector, bgr: ImageBgr, number: int
    ) -> list[Track]:
        """Return the faces of frame `number`."""
        now_s = number / 30
        if number % self.interval == 0:
            return tracker.update(full.detect(bgr), now_s)
        known = tracker.predict(now_s)
        if not self.crops:
            return known
        return tracker.update([f for t in known for f in in_crop(short, bgr, t.box)], now_s)


def in_crop(short: Detector, bgr: ImageBgr, box: Box) -> list[Detection]:
    """Return the best face that `short` finds round `box`, in pixels of the whole frame."""
    half = AROUND * box.w / 2
    x, y = (max(round(value - half), 0) for value in box.center)
    far_x, far_y = (max(round(value + half), 0) for value in box.center)
    crop = bgr[y:far_y, x:far_x]
    return [_moved(face, x, y) for face in short.detect(crop)[:1]] if crop.size else []


def _moved(face: Detection, x: int, y: int) -> Detection:
    eyes = face.eyes and Eyes(*(Point(eye.x + x, eye.y + y) for eye in face.eyes))
    return Detection(face.box._replace(x=face.box.x + x, y=face.box.y + y), face.score, eyes)


class Trial:
    """Takes every way through a clip at once; the first of `ways` is what others are held to."""

    def __init__(self, ways: list[Way]) -> None:
        models = REPO / "models"
        self._ways = ways
        self._full = build_detector("blazeface", models_dir=models, face_range="full")
        self._short = build_detector("blazeface", models_dir=models, face_range="short")
        self._classifier = Classifier(read_model_file(models / "expression.tflite"))

    def play(self, clip: Path) -> None:
        trackers = [Tracker(confirm_hits=1) for _ in self._ways]
        for number, bgr in enumerate(_frames(clip)):
            seen = []
            for way, tracker in zip(self._ways, trackers, strict=True):
                start = time.thread_time()
                seen.append(way.tracks(tracker, self._full, self._short, bgr, number))
                took_ms = (time.thread_time() - start) * 1000
                way.times_ms.setdefault(len(seen[0]), []).append(took_ms)
            self._compare(bgr, seen)

    def _compare(self, bgr: ImageBgr, seen: list[list[Track]]) -> None:
        for true in seen[0]:
            label = self._label(bgr, true)
            for way, tracks in zip(self._ways, seen, strict=True):
                best = max(tracks, key=lambda track: track.box.iou(true.box), default=None)
                if best is None or best.box.iou(true.box) == 0:
                    way.missed += 1
                    continue
                way.overlaps.append(best.box.iou(true.box))
                way.same.append(self._label(bgr, best) == label)

    def _label(self, bgr: ImageBgr, track: Track) -> int:
        return int(self._classifier.classify(bgr, track.box, track.eyes).argmax())


def _frames(clip: Path) -> Iterator[ImageBgr]:
    video = cv2.VideoCapture(str(clip))
    while (read := video.read())[0]:
        yield np.asarray(read[1], np.uint8)


def row(way: Way) -> str:
    one, two = (statistics.mean(way.times_ms[people]) for people in (1, 2))
    low, middle = np.percentile(way.overlaps, [5, 50])
    same = 100 * statistics.mean(way.same)
    return (
        f"| {way.name} | {one:.2f} | {two:.2f} | {middle:.2f} | {low:.2f} | {same:.0f} % | "
        f"{way.missed} |"
    )


def main() -> None:
    """Measure, print and write the table."""
    cv2.setNumThreads(1)
    ways = [Way("full on every frame")]
    for interval in (2, 3, 5):
        ways.append(Way(f"full on 1 frame in {interval}, then the tracker alone", interval))
        ways.append(
            Way(f"full on 1 frame in {interval}, then short on crops", interval, crops=True)
        )
    media = Path(os.environ.get("MIEN_DATA", REPO / "../shared/data")) / "media"
    trial = Trial(ways)
    for clip in sorted([*media.glob("*.mkv"), *media.glob("*.mp4")]):
        trial.play(clip)
    head = "| way | CPU ms, 1 face | 2 faces | median IoU | 5th % | same top class | missed |"
    note = (
        "Detection and tracking on the sample clips, one thread. Made by\n"
        "`python -m benchmarks.following`."
    )
    text = "\n".join([note, "", head, "|---|---|---|---|---|---|---|", *map(row, ways)])
    print(text)
    (Path(__file__).parent / "following.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
