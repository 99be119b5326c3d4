"""Prints what MediaPipe Tasks' FaceDetector finds in the sample clips, as JSON.

    python -m benchmarks.mediapipe_boxes > tests/data/mediapipe_boxes.json

`tests/vision/test_detector.py` holds our own decoding against it. Needs MediaPipe and the BlazeFace
file. `MIEN_DATA` names the folder that holds `media/` (default `../shared/data`).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.core.types import Detection
from edge_daemon.vision.detector import BLAZEFACE_FILES, MediaPipeDetector

REPO = Path(__file__).parents[1]
EVERY = 10  # frames
# What each network is shown, x0 y0 x1 y1: short-range needs faces that fill more of the picture.
NEAR = {"full": (0, 0, 640, 480), "short": (200, 20, 400, 220)}

FacesByFrame = dict[str, list[list[float]]]


def main() -> None:
    """Print the reference as one line."""
    media = Path(os.environ.get("MIEN_DATA", REPO / "../shared/data")) / "media"
    clips = sorted([*media.glob("*.mkv"), *media.glob("*.mp4")])
    reference = {
        "made_by": "python -m benchmarks.mediapipe_boxes",
        "mediapipe": importlib.metadata.version("mediapipe"),
        "face": "score, box x y w h, left eye x y, right eye x y; pixels",
        "near": NEAR,
        "full": clips_by_name(clips, "full"),
        "short": clips_by_name(clips, "short"),
    }
    print(json.dumps(reference))


def clips_by_name(
    clips: Sequence[Path], face_range: str
) -> dict[str, dict[str, list[list[float]]]]:
    """Return the faces in every `EVERY`th frame of each clip, by the frame's number from 0."""
    detector = MediaPipeDetector(REPO / "models" / BLAZEFACE_FILES[face_range])
    found = {clip.name: faces_by_frame(clip, detector, NEAR[face_range]) for clip in clips}
    detector.close()
    return found


def faces_by_frame(
    clip: Path, detector: MediaPipeDetector, near: tuple[int, int, int, int]
) -> FacesByFrame:
    """Return the faces in the part `near` of every `EVERY`th frame."""
    x0, y0, x1, y1 = near
    video = cv2.VideoCapture(str(clip))
    faces: FacesByFrame = {}
    number = 0
    while (read := video.read())[0]:
        if number % EVERY == 0:
            bgr = np.asarray(read[1], np.uint8)[y0:y1, x0:x1]
            faces[str(number)] = [numbers(face) for face in detector.detect(bgr)]
        number += 1
    return faces


def numbers(face: Detection) -> list[float]:
    assert face.eyes is not None  # noqa: S101  MediaPipe always gives them
    values = [face.score, *face.box, *face.eyes.left, *face.eyes.right]
    return [round(float(value), 2) for value in values]


if __name__ == "__main__":
    main()
