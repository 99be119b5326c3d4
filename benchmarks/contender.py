"""The part that all contenders share: reads counts of frames, writes JSON reports.

`benchmarks.compare` starts them and lets them take turns. The first report comes with the first
frame and tells when that was done (`time.monotonic`, which all processes share).
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import cv2

from benchmarks.load import memory_mb
from edge_daemon.core.types import ImageBgr

QUALITY = 80
Report = dict[str, Any]
T = TypeVar("T")


def serve(play: Callable[[int], Report]) -> None:
    """Answer requests until standard input ends; `play` does so many frames and reports on them."""
    reports = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no report
    play(1)
    print(json.dumps({"first_s": time.monotonic()}), file=reports)
    for line in sys.stdin:
        report = play(int(line))
        print(json.dumps(report | {"memory_mb": memory_mb(os.getpid())}), file=reports)


def player(process: Callable[[T], int], source: Iterator[T]) -> Callable[[int], Report]:
    """Times `process`, which turns a frame into its JPEG and returns the number of faces.

    Processor time is that of all threads; reading the frames from `source` is not counted.
    """

    def play(count: int) -> Report:
        latency_ms, cpu_ms, faces = [], 0.0, 0
        for frame in itertools.islice(source, count):
            start_s, cpu_s = time.perf_counter(), time.process_time()
            faces += process(frame)
            cpu_ms += 1000 * (time.process_time() - cpu_s)
            latency_ms.append(1000 * (time.perf_counter() - start_s))
        return {"latency_ms": latency_ms, "cpu_ms": cpu_ms, "faces": faces}

    return play


def finish(bgr: ImageBgr, boxes: Sequence[Sequence[float]], labels: Sequence[str]) -> None:
    """Draw as plain scripts do, a rectangle and a word for each face, and encode for one viewer."""
    for (x, y, w, h), label in zip(boxes, labels, strict=True):
        corner = round(x), round(y)
        cv2.rectangle(bgr, corner, (round(x + w), round(y + h)), (255, 0, 0), 2)
        cv2.putText(bgr, label, corner, cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 0), 2)
    cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
