"""Measures whether the daemon's memory grows while it plays a clip as fast as it can.

    python -m benchmarks.soak MINUTES         (make bench-soak MINUTES=30)

The whole daemon runs, on a file that is looped, with one viewer, and no frame is left out. Writes
benchmarks/soak.json, with every sample, and soak.md. Needs the clips of $MIEN_DATA.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmarks.clips import clips
from benchmarks.load import memory_mb, threads
from benchmarks.running import Running, daemon

SAMPLE_S = 5.0
WARM_FRAMES = 3000  # pools, caches and the heap have their size by then
WINDOW = 100_000
CHUNK = 1 << 16


class Sample(NamedTuple):
    """The daemon at a moment."""

    second: float
    frames: int
    memory_mb: float
    threads: int
    files: int


def watch(running: Running, minutes: float) -> list[Sample]:
    """Samples of the daemon, for so long, while somebody watches its stream."""
    threading.Thread(target=_view, args=(running.stream,), daemon=True).start()
    start_s = time.monotonic()
    samples = []
    while time.monotonic() - start_s < 60 * minutes:
        time.sleep(SAMPLE_S)
        samples.append(_sample(running, time.monotonic() - start_s))
        print(*samples[-1], flush=True)
    return samples


def _view(stream: str) -> None:
    with urllib.request.urlopen(stream, timeout=10) as pictures:  # noqa: S310
        while pictures.read(CHUNK):
            pass


def _sample(running: Running, second: float) -> Sample:
    return Sample(
        round(second, 1),
        running.state()["frames"]["processed"],
        round(memory_mb(running.pid), 2),
        threads(running.pid),
        len(list(Path(f"/proc/{running.pid}/fd").iterdir())),
    )


def spread_mb(samples: Sequence[Sample], frames: int) -> float:
    """Half the largest difference of memory within any `frames` frames: ± so much."""
    half = 0.0
    for first, sample in enumerate(samples):
        near = [s.memory_mb for s in samples[first:] if s.frames - sample.frames <= frames]
        half = max(half, (max(near) - min(near)) / 2)
    return half


def table(samples: Sequence[Sample]) -> str:
    """Summarize the samples after the first WARM_FRAMES frames, as Markdown."""
    warm = [sample for sample in samples if sample.frames >= WARM_FRAMES] or list(samples)
    first, last = warm[0], warm[-1]
    memory = [sample.memory_mb for sample in warm]
    rate = (last.frames - samples[0].frames) / max(last.second - samples[0].second, 1)
    stalled = sum(b.frames == a.frames for a, b in pairwise(samples))
    rows = [
        ("frames", f"{last.frames:,}"),
        ("minutes", f"{last.second / 60:.1f}"),
        ("frames a second", f"{rate:.0f}"),
        (f"memory after {first.frames:,} frames", f"{first.memory_mb:.1f} MB"),
        ("memory at the end", f"{last.memory_mb:.1f} MB"),
        ("least and most after that", f"{min(memory):.1f} and {max(memory):.1f} MB"),
        (f"within any {WINDOW:,} frames", f"± {spread_mb(warm, WINDOW):.1f} MB"),
        ("threads, first and last", f"{first.threads} and {last.threads}"),
        ("open files, first and last", f"{first.files} and {last.files}"),
        ("samples without a new frame", f"{stalled}"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main() -> None:
    """Run, print the table and write both result files."""
    minutes = float(sys.argv[1])
    settings = {"camera.source": clips()[0], "camera.lossless": "true"}
    with tempfile.TemporaryDirectory() as name, daemon(settings, Path(name)) as running:
        samples = watch(running, minutes)
    text = table(samples)
    print(text)
    folder = Path(__file__).parent
    note = "A real clip of 640×480, looped, as fast as the daemon takes it, one viewer. Made by\n"
    (folder / "soak.md").write_text(f"{note}`make bench-soak MINUTES={minutes:g}`.\n\n{text}\n")
    rows = {"columns": Sample._fields, "samples": samples}
    (folder / "soak.json").write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
