"""MediaPipe Tasks' face detector with the same BlazeFace file, our classifier, a JPEG.

python -m benchmarks.contenders.mediapipe_tasks CLIP…
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

from benchmarks.clips import ROOT, frames
from benchmarks.contender import finish, player, serve
from edge_daemon.core.types import ImageBgr
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.detector import build_detector
from edge_daemon.vision.model_file import read_model_file


class MediaPipeTasks:
    """Processes a frame when called and returns the number of faces found in it."""

    def __init__(self) -> None:
        self._detector = build_detector("mediapipe", models_dir=ROOT / "models")
        self._classifier = Classifier(read_model_file(ROOT / "models" / "expression.tflite"))

    def __call__(self, bgr: ImageBgr) -> int:
        found = self._detector.detect(bgr)
        labels = []
        for face in found:
            scores = self._classifier.classify(bgr, face.box, face.eyes)
            labels.append(self._classifier.model.labels[int(scores.argmax())])
        finish(bgr, [face.box for face in found], labels)
        return len(found)

    def close(self) -> None:
        self._detector.close()


if __name__ == "__main__":
    cv2.setNumThreads(1)  # it costs less, as in the daemon
    way = MediaPipeTasks()
    serve(player(way, frames([Path(clip) for clip in sys.argv[1:]])))
    way.close()
