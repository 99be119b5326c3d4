"""Measures the cost of a second thread for each network: processor time and time of a run.

    python -m benchmarks.threads        (a minute; prints a table)

The networks take turns, with one and two threads. On a busy machine compare processor time.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.clips import ROOT
from edge_daemon.vision.interpreter import Interpreter

MODELS = ROOT / "models"
FILES = (
    "face_detection_full_range_sparse.tflite",
    "face_detection_short_range.tflite",
    "expression.tflite",
)
ROUNDS, RUNS = 60, 4


@dataclass
class Network:
    """A network on so many threads, and what its runs took, in milliseconds."""

    path: Path
    threads: int
    cpu_ms: list[float] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._interpreter = Interpreter(self.path, num_threads=self.threads)
        self._values = np.zeros(self._interpreter.input.shape, self._interpreter.input.dtype)

    def run(self) -> None:
        """Run RUNS times, and record the mean."""
        cpu_s, start_s = time.process_time(), time.monotonic()
        for _ in range(RUNS):
            self._interpreter.run(self._values)
        self.cpu_ms.append(1000 * (time.process_time() - cpu_s) / RUNS)
        self.took_ms.append(1000 * (time.monotonic() - start_s) / RUNS)


def main() -> None:
    """Measure and print the table."""
    networks = [Network(MODELS / file, threads) for file in FILES for threads in (1, 2)]
    for _ in range(ROUNDS):
        for network in networks:
            network.run()
    print("| network | threads | CPU ms | fastest run, ms |\n|---|---|---|---|")
    for each in networks:
        cpu_ms, took_ms = statistics.median(each.cpu_ms), min(each.took_ms)
        print(f"| {each.path.stem} | {each.threads} | {cpu_ms:.2f} | {took_ms:.2f} |")


if __name__ == "__main__":
    main()
