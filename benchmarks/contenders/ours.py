"""The daemon's own frame path: slot, pipeline thread and all stages, slot, drawing, a JPEG.

    python -m benchmarks.contenders.ours CLIP…
    python -m benchmarks.contenders.ours --interval 1 CLIP…  # every frame is searched
    python -m benchmarks.contenders.ours --interval 1 --faces 4 CLIP      # a composed frame

The frames have their clip's times, however fast they come. Without `--interval` faces are looked
for as often as the daemon does with a camera of that rate.
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.clips import HEIGHT, ROOT, WIDTH, Timed, composed, timed_frames
from benchmarks.contender import Report, player, serve
from edge_daemon.config.schema import Config
from edge_daemon.config.sections import DetectorConfig
from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Frame, ImageBgr, View
from edge_daemon.draw.annotate import public_picture
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.events.feed import EventFeed
from edge_daemon.memory import prepare_heap, settle_heap
from edge_daemon.pipeline.build import build_stages
from edge_daemon.pipeline.pipeline import Pipeline

FPS = 15  # of a composed frame, which comes again and again
TIMEOUT_S = 10.0


class Ours:
    """Processes a frame when called and returns the number of faces shown in it.

    `published_ms` are the latencies from capture to published view, for the report.
    """

    def __init__(self, interval: int | None, max_faces: int) -> None:
        config = Config(
            model=str(ROOT / "models" / "expression.tflite"),
            detector=DetectorConfig(interval=interval or "auto", max_faces=max_faces),
        )
        self._frames: Latest[Frame] = Latest()
        self._views: Latest[View] = Latest()
        self._stop = threading.Event()
        self._pipeline = Pipeline(
            frames=self._frames,
            views=self._views,
            events=EventFeed([]),
            shots=Backlog(1),
            stages=build_stages(config, "benchmark"),
            notice=lambda: "",
            blank_size=(WIDTH, HEIGHT),
            stop=self._stop,
        )
        self._thread = threading.Thread(target=self._pipeline.run, daemon=True)
        self._thread.start()
        self._count = self._seq = 0
        self.published_ms: list[float] = []

    def __call__(self, timed: Timed) -> int:
        self._count += 1
        start_s = time.perf_counter()
        self._frames.put(Frame(self._count, Picture(timed.bgr), timed.at_s, datetime.now(UTC)))
        found = self._views.get(self._seq, TIMEOUT_S)
        if found is None:
            raise TimeoutError("the pipeline publishes no view")
        self.published_ms.append(1000 * (time.perf_counter() - start_s))
        self._seq, view = found
        encode_jpeg(public_picture(view), quality=view.drawing.quality)
        return len(view.faces)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._pipeline.close()

    def composed(self, clip: Path, count: int) -> ImageBgr:
        return composed(clip, count, self._pipeline.stages.detector)


def main() -> None:
    """Serve the clips, or the composed frame."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--interval", type=int)
    parser.add_argument("--faces", type=int)
    parser.add_argument("clips", nargs="+", type=Path)
    options = parser.parse_args()
    prepare_heap()
    way = Ours(options.interval, max_faces=16)
    settle_heap()
    source = timed_frames(options.clips)
    if options.faces is not None:
        bgr = way.composed(options.clips[0], options.faces)
        source = (Timed(bgr, number / FPS) for number in itertools.count())
    play = player(way, source)

    def play_and_tell(count: int) -> Report:
        way.published_ms.clear()
        return play(count) | {"published_ms": way.published_ms}

    try:
        serve(play_and_tell)
    finally:
        way.close()


if __name__ == "__main__":
    main()
