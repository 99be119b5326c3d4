"""The floor under a daemon that reads JPEGs: half-scale decoding and the bare parts, at its pace.

    python -m benchmarks.contenders.floor_camera FOLDER FPS

Reads the pictures of a camera on loopback from its folder, so that receiving them costs nothing.
For each it runs what a search of one face cannot do without, and prints a line. The pauses between
frames leave cold caches, as they do to the daemon.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.contenders.floor import MODELS, bare


def main() -> None:
    """Process frames until terminated."""
    cv2.setNumThreads(1)  # as the daemon does
    folder, fps = Path(sys.argv[1]), float(sys.argv[2])
    jpegs = [np.frombuffer(path.read_bytes(), np.uint8) for path in sorted(folder.glob("*.jpg"))]
    detector = bare(MODELS / "face_detection_full_range_sparse.tflite")
    classifier = bare(MODELS / "expression.tflite")
    started_s = time.monotonic()
    for number, jpeg in enumerate(itertools.cycle(jpegs)):
        time.sleep(max(started_s + number / fps - time.monotonic(), 0))
        bgr = cv2.imdecode(jpeg, cv2.IMREAD_REDUCED_COLOR_2)
        if bgr is None:
            raise SystemExit(f"{folder} has a picture that cannot be decoded")
        cv2.resize(bgr, (192, 144))
        detector.invoke()
        cv2.resize(cv2.cvtColor(bgr[:64, :64], cv2.COLOR_BGR2GRAY), (48, 48))
        classifier.invoke()
        print(flush=True)


if __name__ == "__main__":
    main()
