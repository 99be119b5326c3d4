"""Face detectors: three backends behind one protocol."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import cv2
import numpy as np

from edge_daemon.core.errors import UserError
from edge_daemon.core.files import INSTALLATION
from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Box, Detection, Eyes, ImageBgr, Point
from edge_daemon.vision.blazeface import BlazeFace, FullScale
from edge_daemon.vision.interpreter import Interpreter, ModelError, Variant
from edge_daemon.vision.plan import NO_HINT, Hint, Reach, Size, fitted_shape
from edge_daemon.vision.search import LiveSearch, StillSearch
from edge_daemon.vision.variant import fitted_to

log = logging.getLogger(__name__)

Range = Literal["both", "full", "short"]

BLAZEFACE_FILES: Final = {
    "full": "face_detection_full_range_sparse.tflite",
    "short": "face_detection_short_range.tflite",
}
SHIPPED_MODELS = INSTALLATION / "models"
FETCH_COMMAND = "python models/fetch_blazeface.py"
BACKENDS = ("auto", "blazeface", "mediapipe", "haar")


class DetectorUnavailable(UserError):
    """The library behind a backend is missing."""


class Detector(Protocol):
    """Finds the faces of a picture. One thread at a time may use it."""

    name: str

    def detect(self, bgr: ImageBgr, hint: Hint = NO_HINT) -> list[Detection]:
        """Find the faces of `bgr` (height, width, 3); their boxes may reach beyond it.

        `hint` describes the faces of previous frames of a video.
        """
        ...

    def detect_in(self, picture: Picture, hint: Hint) -> list[Detection]:
        """Find the faces of a frame's picture, decoded no finer than each region needs."""
        ...

    def reduction(self, size: tuple[int, int], hint: Hint) -> int:
        """Return the greatest reduction at which `detect_in` can use a picture of `size`."""
        ...

    def close(self) -> None:
        """Free what the backend holds; call it before the process ends."""
        ...


def build_detector(
    backend: str = "auto",
    *,
    models_dir: Path = Path("models"),
    face_range: Range = "both",
    min_score: float = 0.5,
    reach: Reach = "auto",
    still: bool = False,
    size: tuple[int, int] = (640, 480),
    runtime: str = "auto",
) -> Detector:
    """Build the detector named `backend`, one of BACKENDS.

    "auto" is BlazeFace, or the Haar cascade with a warning if `models_dir` lacks BlazeFace's
    files. A `face_range` of "both" combines BlazeFace's networks: with `still` in one thorough
    search, else in turns, chosen by `reach`. "full" and "short" run one network on the whole
    picture. `size` is the expected width and height of the pictures; others cost a moment at their
    first one. `min_score` does not apply to Haar. Raises ModelError, RuntimeUnavailable,
    DetectorUnavailable, or ValueError for an unknown name.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown detector {backend!r}; known are {', '.join(BACKENDS)}")
    paths = [models_dir / file for file in blazeface_files(face_range)]
    missing = [path for path in paths if not path.is_file()]
    if backend == "auto" and missing:
        log.warning(
            "%s is missing: OpenCV's Haar cascade is used, which is slower and finds fewer faces; "
            "fix: %s",
            missing[0],
            FETCH_COMMAND,
        )
        backend = "haar"
    if backend == "haar":
        return HaarDetector()
    if missing:
        raise ModelError(f"{missing[0]} is missing; fix: {FETCH_COMMAND}")
    if backend == "mediapipe":
        _network(paths[0], min_score=min_score, runtime=runtime, variant=None)  # checks the file
        return MediaPipeDetector(paths[0], min_score=min_score)
    is_fitted = face_range == "both" and not still
    variants = {paths[0]: fitted_to(fitted_shape(Size(*size)))} if is_fitted else {}
    networks = [
        _network(path, min_score=min_score, runtime=runtime, variant=variants.get(path))
        for path in paths
    ]
    if len(networks) == 1:
        return networks[0]
    full, short = networks
    if still:
        return StillSearch(full, short, min_score=min_score)
    return LiveSearch(full, short, min_score=min_score, reach=reach)


def _network(path: Path, *, min_score: float, runtime: str, variant: Variant | None) -> BlazeFace:
    """Return the network of a file; an error says how to get the right one."""
    try:
        network = BlazeFace(
            Interpreter(path, runtime=runtime, variant=variant), min_score=min_score
        )
    except ModelError as error:
        raise ModelError(f"{error}; fix: {FETCH_COMMAND}") from error
    if path.name != BLAZEFACE_FILES[network.face_range]:
        wrong = f"BlazeFace's {network.face_range}-range network"
        raise ModelError(f"{path} is {wrong}, not the one of this name; fix: {FETCH_COMMAND}")
    return network


def blazeface_files(face_range: Range) -> list[str]:
    """Return the names of the files that a range needs."""
    names = BLAZEFACE_FILES if face_range == "both" else (face_range,)
    return [BLAZEFACE_FILES[name] for name in names]


class HaarDetector(FullScale):
    """Finds upright faces with OpenCV's frontal-face cascade; needs no model file.

    The picture is scaled to `SEARCH_PX` on the longer side, where faces must have at least 24 px.
    Detections have no eyes and the score 1.0.
    Viola and Jones, "Rapid Object Detection using a Boosted Cascade", CVPR 2001.
    """

    name = "haar"
    SEARCH_PX = 480

    def __init__(self) -> None:
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        if not path.is_file():
            raise DetectorUnavailable(
                f"OpenCV {cv2.__version__} is installed without the Haar cascade's file; fix: "
                "pip install 'opencv-python-headless<5'"
            )
        self._cascade = cv2.CascadeClassifier(str(path))

    def detect(self, bgr: ImageBgr, hint: object = None) -> list[Detection]:
        """Find faces in the whole picture; `hint` is ignored."""
        scale = min(1.0, self.SEARCH_PX / max(bgr.shape[:2]))
        gray = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        boxes = self._cascade.detectMultiScale(small, scaleFactor=1.1, minNeighbors=5)
        return [Detection(Box(*(float(value) / scale for value in box)), 1.0) for box in boxes]

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


class MediaPipeDetector(FullScale):
    """Runs MediaPipe Tasks' FaceDetector on the BlazeFace file `model`.

    Detections below `min_score` (0 to 1) are dropped. Boxes are whole pixels. Raises
    DetectorUnavailable if MediaPipe is not installed.
    https://ai.google.dev/edge/mediapipe/solutions/vision/face_detector/python
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

    def detect(self, bgr: ImageBgr, hint: object = None) -> list[Detection]:
        """Find faces in the whole picture; `hint` is ignored."""
        rgb = np.ascontiguousarray(bgr[:, :, ::-1])
        image = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=rgb)
        height, width = bgr.shape[:2]
        return [_detection(each, width, height) for each in self._task.detect(image).detections]

    def close(self) -> None:
        """Stop MediaPipe's thread, which prints a traceback if the process ends first."""
        self._task.close()


def _detection(found: Any, width: int, height: int) -> Detection:
    box = found.bounding_box
    left, right = sorted(Point(p.x * width, p.y * height) for p in found.keypoints[:2])
    return Detection(
        Box(box.origin_x, box.origin_y, box.width, box.height),
        found.categories[0].score,
        Eyes(left, right),
    )
