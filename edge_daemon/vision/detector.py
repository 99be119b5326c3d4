"""Face detectors: a picture in, `Detection`s out; three backends behind one protocol."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edge_daemon.core.errors import UserError
from edge_daemon.core.files import INSTALLATION
from edge_daemon.core.types import Box, Detection, Eyes, ImageBgr, Point
from edge_daemon.vision.blazeface import BlazeFace
from edge_daemon.vision.interpreter import Interpreter, ModelError

log = logging.getLogger(__name__)

BLAZEFACE_FILES = {
    "full": "face_detection_full_range_sparse.tflite",
    "short": "face_detection_short_range.tflite",
}
SHIPPED_MODELS = INSTALLATION / "models"
FETCH_COMMAND = "python models/fetch_blazeface.py"
BACKENDS = ("auto", "blazeface", "mediapipe", "haar")


class DetectorUnavailable(UserError):
    """The library behind a backend is missing."""


class Detector(Protocol):
    """Finds the faces in a picture. Not for use by two threads at once."""

    name: str

    def detect(self, bgr: ImageBgr) -> list[Detection]:
        """The faces in `bgr` (height, width, 3); their boxes may reach beyond it."""
        ...

    def close(self) -> None:
        """Free what the backend holds; call it before the process ends."""
        ...


def build_detector(
    backend: str = "auto",
    *,
    models_dir: Path = Path("models"),
    face_range: str = "full",
    min_score: float = 0.5,
    runtime: str = "auto",
    num_threads: int = 1,
) -> Detector:
    """The detector named `backend`, one of BACKENDS.

    "auto" is BlazeFace, or with a warning the Haar cascade while `models_dir` holds no
    BlazeFace file for `face_range`, "full" or "short". `min_score` does not apply to Haar;
    `runtime` and `num_threads` are BlazeFace's `Interpreter`'s. Raises ModelError,
    RuntimeUnavailable, DetectorUnavailable, or ValueError for an unknown name.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown detector {backend!r}; known are {', '.join(BACKENDS)}")
    path = models_dir / BLAZEFACE_FILES[face_range]
    if backend == "auto" and not path.is_file():
        log.warning(
            "no %s: OpenCV's Haar cascade finds the faces, slower and fewer; to get it: %s",
            path,
            FETCH_COMMAND,
        )
        backend = "haar"
    if backend == "haar":
        return HaarDetector()
    if not path.is_file():
        raise ModelError(f"{path} is missing; to get it: {FETCH_COMMAND}")
    if backend == "mediapipe":
        return MediaPipeDetector(path, min_score=min_score)
    interpreter = Interpreter(path, runtime=runtime, num_threads=num_threads)
    return BlazeFace(interpreter, min_score=min_score)


class HaarDetector:
    """OpenCV's frontal-face cascade: needs no model file, gives no eyes, and 1.0 as the score.

    It searches a picture of `SEARCH_PX` on the longer side, for upright faces from 24 px there.
    Viola and Jones, "Rapid Object Detection using a Boosted Cascade", CVPR 2001.
    """

    name = "haar"
    SEARCH_PX = 480

    def __init__(self) -> None:
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        if not path.is_file():
            raise DetectorUnavailable(
                f"OpenCV {cv2.__version__} comes without the Haar cascade's file here: "
                "pip install 'opencv-python-headless<5'"
            )
        self._cascade = cv2.CascadeClassifier(str(path))

    def detect(self, bgr: ImageBgr) -> list[Detection]:
        scale = min(1.0, self.SEARCH_PX / max(bgr.shape[:2]))
        gray = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        boxes = self._cascade.detectMultiScale(small, scaleFactor=1.1, minNeighbors=5)
        return [Detection(Box(*(float(value) / scale for value in box)), 1.0) for box in boxes]

    def close(self) -> None:
        """Nothing to free."""


class MediaPipeDetector:
    """MediaPipe Tasks' FaceDetector on a BlazeFace file; DetectorUnavailable without MediaPipe.

    `model` is a BlazeFace `.tflite`; faces below `min_score` (0 to 1) are dropped. Boxes are
    whole pixels. https://ai.google.dev/edge/mediapipe/solutions/vision/face_detector/python
    """

    name = "mediapipe"

    def __init__(self, model: Path, *, min_score: float = 0.5) -> None:
        try:
            import mediapipe as mp  # noqa: PLC0415
        except ImportError as error:
            raise DetectorUnavailable(
                f"the mediapipe detector needs: pip install mediapipe ({error})"
            ) from error
        tasks = mp.tasks
        self._mp = mp
        self._task = tasks.vision.FaceDetector.create_from_options(
            tasks.vision.FaceDetectorOptions(
                base_options=tasks.BaseOptions(model_asset_buffer=model.read_bytes()),
                min_detection_confidence=min_score,
            )
        )

    def detect(self, bgr: ImageBgr) -> list[Detection]:
        rgb = np.ascontiguousarray(bgr[:, :, ::-1])
        image = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=rgb)
        height, width = bgr.shape[:2]
        return [_detection(each, width, height) for each in self._task.detect(image).detections]

    def close(self) -> None:
        """Stop MediaPipe's thread; left to the end of the process, it prints a traceback."""
        self._task.close()


def _detection(found: Any, width: int, height: int) -> Detection:
    box = found.bounding_box
    left, right = sorted(Point(p.x * width, p.y * height) for p in found.keypoints[:2])
    return Detection(
        Box(box.origin_x, box.origin_y, box.width, box.height),
        found.categories[0].score,
        Eyes(left, right),
    )
