"""What each stage of the frame path costs: demo frames in, a table of medians and ratios out.

    python -m benchmarks.frame_path        (make bench)

All stages run on each frame in turn, so that they share whatever else the machine does; compare
the ratios, not the milliseconds. Writes benchmarks/results.json and results.md.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_daemon.annotate import annotate
from edge_daemon.classifier import Classifier
from edge_daemon.demo import PERIOD_S, Demo
from edge_daemon.detector import build_detector
from edge_daemon.model_file import read_model_file
from edge_daemon.tracker import Tracker
from edge_daemon.types import Box, Detection, Drawing, Face, Frame, View

ROOT = Path(__file__).resolve().parent.parent
FRAMES = 240
BASE = "classify one face"


def measure(frames: int) -> dict[str, float]:
    """Median milliseconds by stage."""
    demo = Demo()
    blazeface = build_detector("blazeface", models_dir=ROOT / "models")
    haar = build_detector("haar")
    tracker = Tracker()
    classifier = Classifier(read_model_file(ROOT / "models" / "expression.tflite"))
    labels = classifier.model.labels
    times: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[..., Any], *values: Any) -> Any:
        start = time.perf_counter()
        result = work(*values)
        times.setdefault(stage, []).append((time.perf_counter() - start) * 1000)
        return result

    for number in range(frames):
        bgr = demo.render(number * PERIOD_S / frames)
        found: list[Detection] = timed("detect, BlazeFace", blazeface.detect, bgr)
        timed("detect, Haar (the fallback)", haar.detect, bgr)
        timed("track", tracker.update, found, number / 15)
        gray = timed("to gray", cv2.cvtColor, bgr, cv2.COLOR_BGR2GRAY)
        if not found:
            continue
        face = found[0]
        score = timed(BASE, classifier.classify, gray, face.box, face.eyes)
        view = _view(number, bgr, found, score, labels)
        drawn = timed("annotate", annotate, view)
        timed("encode JPEG", cv2.imencode, ".jpg", drawn)
    return {stage: statistics.median(values) for stage, values in times.items()}


def _view(
    number: int, bgr: Any, found: list[Detection], scores: Any, labels: tuple[str, ...]
) -> View:
    values = tuple(float(s) for s in scores)
    label = labels[int(np.argmax(scores))]
    faces = tuple(
        Face(i, Box(*d.box), label, max(values), values, 0.0) for i, d in enumerate(found, 1)
    )
    frame = Frame(number, bgr, 0.0, datetime.now(UTC))
    return View(frame, faces, drawing=Drawing(labels))


def table(medians: dict[str, float]) -> str:
    """The medians as a Markdown table, each beside its ratio to classifying one face."""
    rows = [f"| {stage} | {ms:.2f} | {ms / medians[BASE]:.1f} × |" for stage, ms in medians.items()]
    return "\n".join(["| stage | median ms | of classifying one face |", "|---|---|---|", *rows])


def main() -> None:
    """Measure, print the table and write both result files."""
    cv2.setNumThreads(1)
    medians = measure(FRAMES)
    text = table(medians)
    print(text)
    where = f"{platform.machine()}, Python {platform.python_version()}, OpenCV {cv2.__version__}"
    note = f"640×480 demo frames, one thread, {where}. Made by `make bench`."
    folder = Path(__file__).parent
    (folder / "results.md").write_text(f"{note}\n\n{text}\n")
    result = {"where": where, "frames": FRAMES, "median_ms": medians}
    (folder / "results.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
