"""Measures which frames take long: the processor time of a frame by the networks that it runs.

    python -m benchmarks.slow_frames [FRAMES]        (half a minute; prints a table)

The real clips through the daemon's frame path, already decoded, without drawing.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, ClassVar

from benchmarks.clips import HEIGHT, ROOT, WIDTH, clips, timed_frames
from edge_daemon.config.schema import Config
from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Detection, Frame, ImageBgr
from edge_daemon.events.feed import EventFeed
from edge_daemon.memory import prepare_heap, settle_heap
from edge_daemon.pipeline.build import build_stages
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.vision.blazeface import BlazeFace, Region
from edge_daemon.vision.detector import BLAZEFACE_FILES
from edge_daemon.vision.interpreter import Interpreter
from edge_daemon.vision.search import LiveSearch

MODELS = ROOT / "models"
FRAMES = 500
WARM = 20  # frames that are not counted


class CountedBlazeFace(BlazeFace):
    """Counts the runs of all networks, by the longer side of their input."""

    runs: ClassVar[Counter[int]] = Counter()

    def search(self, bgr: ImageBgr, region: Region, **options: Any) -> list[Detection]:
        self.runs[self.input_px] += 1
        return super().search(bgr, region, **options)


def measured(frames: int) -> dict[tuple[int, int], list[float]]:
    """Return the milliseconds of frames, by their runs of full-range and of short-range."""
    full, short = (
        CountedBlazeFace(Interpreter(MODELS / file)) for file in BLAZEFACE_FILES.values()
    )
    stages = build_stages(Config(model=str(MODELS / "expression.tflite")), "benchmark")
    pipeline = Pipeline(
        frames=Latest(),
        views=Latest(),
        events=EventFeed([]),
        shots=Backlog(1),
        stages=replace(stages, detector=LiveSearch(full, short)),
        notice=lambda: "",
        blank_size=(WIDTH, HEIGHT),
        stop=threading.Event(),
    )
    settle_heap()
    kinds = defaultdict(list)
    for number, timed in enumerate(islice(timed_frames(clips()), frames + WARM)):
        CountedBlazeFace.runs.clear()
        started_s = time.thread_time()
        pipeline.process(Frame(number + 1, Picture(timed.bgr), timed.at_s, datetime.now(UTC)))
        took_ms = 1000 * (time.thread_time() - started_s)
        if number >= WARM:
            of_full = CountedBlazeFace.runs[full.input_px]
            kinds[of_full, CountedBlazeFace.runs.total() - of_full].append(took_ms)
    return kinds


def main() -> None:
    """Measure and print the table."""
    prepare_heap()
    kinds = measured(int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES)
    every = [ms for some in kinds.values() for ms in some]
    print("| full-range | short-range | % of frames | median ms | longest ms |")
    print("|---|---|---|---|---|")
    for (full, short), some in sorted(kinds.items()):
        share = 100 * len(some) / len(every)
        print(
            f"| {full} | {short} | {share:.0f} | {statistics.median(some):.1f} | {max(some):.1f} |"
        )
    cuts = statistics.quantiles(every, n=100, method="inclusive")
    print(
        f"\nOf all frames: median {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, p99 {cuts[98]:.1f} ms."
    )


if __name__ == "__main__":
    main()
