"""The floor under any frame path with these parts: each alone in a tight loop.

    python -m benchmarks.contenders.floor CLIP…

The bare `invoke` of both networks, the resizing to their inputs, and the JPEG of a frame.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
from ai_edge_litert.interpreter import Interpreter

from benchmarks.clips import ROOT, frames
from benchmarks.contender import QUALITY, Report, serve
from edge_daemon.core.types import ImageBgr

MODELS = ROOT / "models"
PICTURES = 8  # of each clip: more than a processor's cache holds


def parts(pictures: Sequence[ImageBgr]) -> dict[str, Callable[[], Any]]:
    """Return a function for each part; it takes the frames in turn, as from a camera."""
    face = cv2.cvtColor(pictures[0][:64, :64], cv2.COLOR_BGR2GRAY)
    to_shrink, to_encode = itertools.cycle(pictures), itertools.cycle(pictures)
    quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return {
        "resize": lambda: cv2.resize(next(to_shrink), (192, 144)),
        "detector": bare(MODELS / "face_detection_full_range_sparse.tflite").invoke,
        "resize a face": lambda: cv2.resize(face, (48, 48)),
        "classifier": bare(MODELS / "expression.tflite").invoke,
        "JPEG": lambda: cv2.imencode(".jpg", next(to_encode), quality),
    }


def bare(model: Path) -> Any:
    """Return the interpreter of a model file."""
    interpreter: Any = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def main() -> None:
    """Serve; a report has the processor time of all turns of each part, in milliseconds."""
    cv2.setNumThreads(1)  # as the daemon does
    each = [itertools.islice(frames([Path(clip)]), PICTURES) for clip in sys.argv[1:]]
    loops = parts([bgr for some in each for bgr in some])

    def play(count: int) -> Report:
        return {"parts": {name: _loop(part, count) for name, part in loops.items()}}

    serve(play)


def _loop(part: Callable[[], Any], count: int) -> float:
    start_s = time.process_time()
    for _ in range(count):
        part()
    return 1000 * (time.process_time() - start_s)


if __name__ == "__main__":
    main()
