"""Measures what fewer searches per second save, and what they lose.

    python -m benchmarks.search_rates        (writes benchmarks/search_rates.md)

The real clips at their own rate, forwards and backwards in turn for half a minute each, through
the daemon's frame path: each way beside one that searches every frame, which takes the same frame
just before it. `MIEN_DATA` names the folder that holds `media/` (default `../shared/data`).
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice, pairwise
from pathlib import Path

import cv2
import numpy as np

from benchmarks.clips import HEIGHT, ROOT, WIDTH, clips, fitted
from edge_daemon.config.schema import Config
from edge_daemon.config.sections import DetectorConfig
from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Frame, ImageBgr, View
from edge_daemon.events.feed import EventFeed
from edge_daemon.memory import settle_heap
from edge_daemon.pipeline.build import build_stages
from edge_daemon.pipeline.pipeline import Pipeline

DURATION_S = 30
RATES_HZ = (15, 10, 6)
FAST_HZ = 20  # a clip with fewer frames a second tells nothing here


@dataclass
class Way:
    """Searches at `rate_hz`, or every frame; what it was seen to do."""

    name: str
    rate_hz: float
    took_ms: list[float] = field(default_factory=list)
    overlaps: list[float] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)
    missed: int = 0
    ids: int = 0
    changes: int = 0


def play(clip: Path, ways: Sequence[Way]) -> float:
    """Take every way through `clip`; the minutes that it was played, 0 if it is too slow."""
    pictures, fps = _read(clip)
    if fps < FAST_HZ:
        return 0.0
    pipelines = [_pipeline(max(round(fps / way.rate_hz), 1)) for way in ways]
    seen: list[list[View]] = [[] for _ in ways]
    for frame in _frames(pictures, fps):
        for way, pipeline, views in zip(ways, pipelines, seen, strict=True):
            start_s = time.thread_time()
            views.append(pipeline.process(frame))
            way.took_ms.append(1000 * (time.thread_time() - start_s))
        for way, views in zip(ways, seen, strict=True):
            _compare(way, seen[0][-1], views[-1])
    for way, views in zip(ways, seen, strict=True):
        ids = {face.id for view in views for face in view.faces}
        way.ids += len(ids)
        way.changes += sum(_changes(views, each) for each in ids)
    return len(seen[0]) / fps / 60


def _read(clip: Path) -> tuple[list[ImageBgr], float]:
    video = cv2.VideoCapture(str(clip))
    pictures = []
    while (read := video.read())[0]:
        pictures.append(fitted(np.asarray(read[1], np.uint8)))
    return pictures, video.get(cv2.CAP_PROP_FPS)


def _frames(pictures: Sequence[ImageBgr], fps: float) -> Iterator[Frame]:
    there_and_back = cycle([*pictures, *pictures[-2:0:-1]])
    for number, bgr in enumerate(islice(there_and_back, round(DURATION_S * fps)), 1):
        yield Frame(number, Picture(bgr), number / fps, datetime.now(UTC))


def _pipeline(interval: int) -> Pipeline:
    config = Config(
        model=str(ROOT / "models" / "expression.tflite"), detector=DetectorConfig(interval=interval)
    )
    return Pipeline(
        frames=Latest(),
        views=Latest(),
        events=EventFeed([]),
        shots=Backlog(1),
        stages=build_stages(config, "benchmark"),
        notice=lambda: "",
        blank_size=(WIDTH, HEIGHT),
        stop=threading.Event(),
    )


def _compare(way: Way, true: View, view: View) -> None:
    """Hold what `way` shows to what is shown where every frame is searched."""
    for face in true.faces:
        best = max(view.faces, key=lambda other: other.box.iou(face.box), default=None)
        if best is None or best.box.iou(face.box) == 0:
            way.missed += 1
            continue
        way.overlaps.append(best.box.iou(face.box))
        way.same.append(best.label == face.label)


def _changes(views: Sequence[View], face_id: int) -> int:
    labels = [face.label for view in views for face in view.faces if face.id == face_id]
    return sum(a != b for a, b in pairwise(label for label in labels if label))


def row(way: Way, minutes: float) -> str:
    low, middle = np.percentile(way.overlaps, [5, 50])
    return (
        f"| {way.name} | {statistics.mean(way.took_ms):.2f} | {middle:.2f} | {low:.2f} | "
        f"{100 * statistics.mean(way.same):.1f} % | {way.missed} | {way.ids} | "
        f"{way.changes / minutes:.1f} |"
    )


def main() -> None:
    """Measure, print and write the table."""
    settle_heap()
    cv2.setNumThreads(1)
    ways = [Way("every frame", float("inf")), *(Way(f"{hz} a second", hz) for hz in RATES_HZ)]
    minutes = sum(play(clip, ways) for clip in clips())
    shown = len(ways[0].overlaps)
    note = (
        f"The real clips of at least {FAST_HZ} frames a second, {minutes:.0f} minutes, {shown:,} "
        "faces in frames, without drawing\nand JPEG. Made by `python -m benchmarks.search_rates`."
    )
    heads = "| searches | CPU ms a frame | median IoU | 5th % | same label shown | missed | ids | "
    head = f"{heads}label changes a minute |"
    rows = [row(way, minutes) for way in ways]
    text = "\n".join([note, "", head, "|---|---|---|---|---|---|---|---|", *rows])
    print(text)
    (Path(__file__).parent / "search_rates.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
