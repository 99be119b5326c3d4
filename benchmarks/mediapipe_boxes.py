"""What MediaPipe Tasks' FaceDetector finds in the sample clips: clips in, JSON out.

    python -m benchmarks.mediapipe_boxes > tests/data/mediapipe_boxes.json

`tests/test_detector.py` holds our own decoding against it. Needs MediaPipe and the BlazeFace file.
`MIEN_DATA` names the folder that holds `media/` (default `../shared/data`).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.detector import BLAZEFACE_FILES, MediaPipeDetector
from edge_daemon.types import Detection

REPO = Path(__file__).parents[1]
EVERY = 10  # frames


def main() -> None:
    detector = MediaPipeDetector(REPO / "models" / BLAZEFACE_FILES["full"])
    media = Path(os.environ.get("MIEN_DATA", REPO / "../shared/data")) / "media"
    reference = {
        "made_by": "python -m benchmarks.mediapipe_boxes",
        "mediapipe": importlib.metadata.version("mediapipe"),
        "model": BLAZEFACE_FILES["full"],
        "face": "score, box x y w h, left eye x y, right eye x y; pixels",
        "clips": {
            path.name: faces_by_frame(path, detector)
            for path in sorted([*media.glob("*.mkv"), *media.glob("*.mp4")])
        },
    }
    detector.close()
    print(json.dumps(reference))


def faces_by_frame(path: Path, detector: MediaPipeDetector) -> dict[str, list[list[float]]]:
    """The faces in every `EVERY`th frame, by the frame's number from 0."""
    video = cv2.VideoCapture(str(path))
    faces: dict[str, list[list[float]]] = {}
    number = 0
    while (read := video.read())[0]:
        if number % EVERY == 0:
            bgr = np.asarray(read[1], np.uint8)
            faces[str(number)] = [numbers(face) for face in detector.detect(bgr)]
        number += 1
    return faces


def numbers(face: Detection) -> list[float]:
    assert face.eyes is not None  # noqa: S101  MediaPipe always gives them
    values = [face.score, *face.box, *face.eyes.left, *face.eyes.right]
    return [round(float(value), 2) for value in values]


if __name__ == "__main__":
    main()
