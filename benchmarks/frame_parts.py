"""Measures where the processor time of a frame goes: by stage, searched or not.

    python -m benchmarks.frame_parts [FRAMES]        (half a minute; prints a table)

The real clips through the daemon's frame path in one thread, already decoded, drawn and encoded for
one viewer. A clip is decoded between two frames, so the caches are as cold as in the daemon.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from benchmarks.clips import HEIGHT, ROOT, WIDTH, clips, timed_frames
from edge_daemon.config.schema import Config
from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import FRAME, Frame
from edge_daemon.draw.annotate import public_picture
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.events.feed import EventFeed
from edge_daemon.memory import prepare_heap, settle_heap
from edge_daemon.pipeline.build import build_stages
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.vision.interpreter import Interpreter

FRAMES = 500
WARM = 20  # frames that are not counted
NETWORKS = "the networks alone"
ORDER = ("detect", "track", "classify", "publish", "draw", "encode")


class Parts:
    """Adds up the processor time of the parts of one frame, in milliseconds."""

    def __init__(self) -> None:
        self.ms: defaultdict[str, float] = defaultdict(float)
        self._last_s = 0.0

    def start(self) -> None:
        """Begin a frame."""
        self.ms.clear()
        self._last_s = time.thread_time()

    def end(self, part: str) -> None:
        """Count the time since the last part as that of `part`."""
        now_s = time.thread_time()
        self.ms[part] += 1000 * (now_s - self._last_s)
        self._last_s = now_s

    def count_networks(self) -> None:
        """Measure every run of a network, which is also part of a stage."""
        run = Interpreter.run

        def timed(interpreter: Interpreter, values: Any) -> Any:
            started_s = time.thread_time()
            outputs = run(interpreter, values)
            self.ms[NETWORKS] += 1000 * (time.thread_time() - started_s)
            return outputs

        Interpreter.run = timed  # type: ignore[method-assign, assignment]


def measured(frames: int) -> dict[bool, list[defaultdict[str, float]]]:
    """Return the parts of each frame, by whether it was searched."""
    parts = Parts()
    parts.count_networks()
    pipeline = Pipeline(
        frames=Latest(),
        views=Latest(),
        events=EventFeed([]),
        shots=Backlog(1),
        stages=build_stages(Config(model=str(ROOT / "models" / "expression.tflite")), "benchmark"),
        notice=lambda: "",
        blank_size=(WIDTH, HEIGHT),
        stop=threading.Event(),
        observe=lambda stage, _: parts.end("publish" if stage == FRAME else stage),
    )
    settle_heap()
    kinds = defaultdict(list)
    for number, timed in enumerate(islice(timed_frames(clips()), frames + WARM)):
        parts.start()
        frame = Frame(number + 1, Picture(timed.bgr), timed.at_s, datetime.now(UTC))
        view = pipeline.process(frame)
        parts.end("publish")
        bgr = public_picture(view)
        parts.end("draw")
        encode_jpeg(bgr, quality=view.drawing.quality)
        parts.end("encode")
        if number >= WARM:
            kinds["detect" in parts.ms].append(parts.ms.copy())
    return kinds


def main() -> None:
    """Measure and print the table."""
    prepare_heap()
    kinds = measured(int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES)
    print("| ms a frame | not searched | searched |")
    print("|---|---|---|")
    means = {
        part: [
            statistics.mean(ms[part] for ms in kinds[is_searched]) for is_searched in (False, True)
        ]
        for part in (*ORDER, NETWORKS)
    }
    rows = [(part, *means[part]) for part in ORDER]
    rows.append(("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    for part, still, searched in [*rows, (NETWORKS, *means[NETWORKS])]:
        print(f"| {part} | {still:.2f} | {searched:.2f} |")
    share = 100 * len(kinds[False]) / (len(kinds[False]) + len(kinds[True]))
    print(f"\n{share:.0f} % of the frames are not searched.")


if __name__ == "__main__":
    main()
