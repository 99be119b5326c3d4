"""The seed project's way: Haar on the full frame, Keras' `predict` for each face, a JPEG.

    python -m benchmarks.contenders.seed_way CLIP…

Its network has the weights it starts from: time does not depend on them. The cascade's settings
are those of OpenCV's own tutorial (scale 1.3, 5 neighbors).
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from benchmarks.clips import frames
from benchmarks.contender import finish, player, serve
from edge_daemon.core.types import ImageBgr
from train.architectures import seed

LABELS = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")


class SeedWay:
    """Processes a frame when called and returns the number of faces found in it."""

    def __init__(self) -> None:
        folder = Path(cv2.__file__).parent / "data"
        self._cascade = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))
        self._network = seed()

    def __call__(self, bgr: ImageBgr) -> int:
        gray = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        boxes = self._cascade.detectMultiScale(gray, 1.3, 5)
        labels = []
        for x, y, w, h in boxes:
            face = cv2.resize(gray[y : y + h, x : x + w], (48, 48))
            scores = self._network.predict(face[np.newaxis, :, :, np.newaxis], verbose=0)
            labels.append(LABELS[int(np.argmax(scores))])
        finish(bgr, boxes, labels)
        return len(boxes)


if __name__ == "__main__":
    serve(player(SeedWay(), frames([Path(clip) for clip in sys.argv[1:]])))
