"""Tests the face detectors: decoding of made-up outputs, agreement with MediaPipe, the backends."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.paths import ROOT

from edge_daemon.core.types import Box, Detection, Eyes, ImageBgr, Point
from edge_daemon.vision.blazeface import BlazeFace
from edge_daemon.vision.detector import (
    BLAZEFACE_FILES,
    DetectorUnavailable,
    HaarDetector,
    MediaPipeDetector,
    Range,
    build_detector,
)
from edge_daemon.vision.interpreter import Interpreter, ModelError, Tensor

REFERENCE = ROOT / "tests" / "data" / "mediapipe_boxes.json"
REFERENCES = json.loads(REFERENCE.read_text())
CLIPS: list[str] = list(REFERENCES["full"])
SQUARE = np.zeros((192, 192, 3), np.uint8)  # the network's own size: one pixel, one unit


class Network:
    """Stands for the interpreter: answers every picture with faces put at chosen anchors."""

    name = "drawn.tflite"

    def __init__(self) -> None:
        self.values = np.zeros((1, 2304, 16), np.float32)
        self.logits = np.full((1, 2304, 1), -1000, np.float32)
        self.input = Tensor(0, (1, 192, 192, 3), np.dtype(np.float32), 0.0, 0)
        self.outputs = tuple(
            Tensor(index, array.shape, array.dtype, 0.0, 0)
            for index, array in enumerate((self.logits, self.values))
        )

    def put(self, column: int, row: int, score: float, values: list[float]) -> None:
        anchor = row * 48 + column
        self.logits[0, anchor] = np.log(score / (1 - score))
        self.values[0, anchor, : len(values)] = values

    def run(self, rgb: NDArray[Any]) -> list[NDArray[np.float32]]:
        assert rgb.shape == (1, 192, 192, 3)
        return [self.logits, self.values]


def detector_of(network: Network, min_score: float = 0.5) -> BlazeFace:
    return BlazeFace(cast(Interpreter, network), min_score=min_score)


@pytest.fixture(scope="module")
def blazeface(blazeface_dir: Path) -> BlazeFace:
    return BlazeFace(Interpreter(blazeface_dir / BLAZEFACE_FILES["full"]))


@pytest.fixture(scope="module")
def haar() -> HaarDetector:
    try:
        return HaarDetector()
    except DetectorUnavailable as error:
        pytest.skip(str(error))


def frames(path: Path) -> Iterator[ImageBgr]:
    video = cv2.VideoCapture(str(path))
    while (read := video.read())[0]:
        yield cast(ImageBgr, read[1])


def numbers(face: Detection) -> NDArray[np.float64]:
    """Box and eyes as one row, pixels."""
    assert face.eyes is not None
    return np.array([*face.box, *face.eyes.left, *face.eyes.right])


def assert_same_faces(
    found: list[Detection], expected: list[Detection], px: float, score: float
) -> None:
    assert len(found) == len(expected)
    by_place = [sorted(faces, key=lambda face: face.box) for faces in (found, expected)]
    for one, other in zip(*by_place, strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), atol=px)
        assert one.score == pytest.approx(other.score, abs=score)


def test_decodes_center_size_and_eyes_from_the_anchor() -> None:
    network = Network()
    network.put(10, 20, 0.9, [2, -2, 40, 30, 8, -6, -8, -4])
    (face,) = detector_of(network).detect(SQUARE)
    assert face.score == pytest.approx(0.9)
    assert face.box == pytest.approx(Box(24, 65, 40, 30))  # the anchor stands at 42, 82
    assert face.eyes == Eyes(left=Point(34, 78), right=Point(50, 76))


def test_gives_pixels_of_the_picture_not_of_the_letterbox() -> None:
    network = Network()
    network.put(24, 24, 0.9, [-2, -2, 48, 48])  # in the middle of the input
    (face,) = detector_of(network).detect(np.zeros((480, 640, 3), np.uint8))
    assert face.box == pytest.approx(Box(240, 160, 160, 160))


def test_overlapping_detections_become_their_weighted_mean() -> None:
    network = Network()
    network.put(20, 20, 0.6, [0, 0, 40, 40])
    network.put(22, 20, 0.9, [0, 0, 40, 40])  # 8 px to the right
    network.put(40, 40, 0.7, [0, 0, 20, 20])
    near, far = detector_of(network).detect(SQUARE)
    assert near.score == pytest.approx(0.9)
    assert near.box.center.x == pytest.approx((82 * 0.6 + 90 * 0.9) / 1.5)
    assert far.box.center == pytest.approx((162, 162))


def test_a_box_without_area_is_one_detection() -> None:
    network = Network()
    network.put(20, 20, 0.9, [])
    assert len(detector_of(network).detect(SQUARE)) == 1


def test_faces_below_the_score_are_dropped() -> None:
    network = Network()
    network.put(20, 20, 0.55, [0, 0, 40, 40])
    assert detector_of(network, min_score=0.5).detect(SQUARE)
    assert not detector_of(network, min_score=0.6).detect(SQUARE)


def test_another_model_is_refused() -> None:
    network = Network()
    network.outputs = network.outputs[:1]
    with pytest.raises(ModelError, match="not a BlazeFace model"):
        detector_of(network)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("face_range", ["full", "short"])
def test_boxes_equal_mediapipes(
    face_range: Literal["full", "short"], clip: str, media_dir: Path, blazeface_dir: Path
) -> None:
    detector = build_detector("blazeface", models_dir=blazeface_dir, face_range=face_range)
    expected = REFERENCES[face_range][clip]
    x0, y0, x1, y1 = REFERENCES["near"][face_range]
    compared = 0
    for number, bgr in enumerate(frames(media_dir / clip)):
        if str(number) in expected:
            faces = [
                Detection(Box(*face[1:5]), face[0], Eyes(Point(*face[5:7]), Point(*face[7:])))
                for face in expected[str(number)]
            ]
            assert_same_faces(detector.detect(bgr[y0:y1, x0:x1]), faces, px=2, score=0.03)
            compared += 1
    assert compared == len(expected)


def test_the_mediapipe_backend_finds_the_same_faces(
    media_dir: Path, blazeface_dir: Path, blazeface: BlazeFace
) -> None:
    if importlib.util.find_spec("mediapipe") is None:
        pytest.skip("mediapipe is not installed")
    mediapipe = build_detector("mediapipe", models_dir=blazeface_dir)
    for _, bgr in zip(range(5), frames(media_dir / "two-people-tilting.mp4"), strict=False):
        assert_same_faces(blazeface.detect(bgr), mediapipe.detect(bgr), px=2, score=0.03)
    mediapipe.close()


def test_a_mirrored_picture_has_mirrored_faces(media_dir: Path, blazeface: BlazeFace) -> None:
    bgr = next(frames(media_dir / "signing-book.mkv"))
    (face,) = blazeface.detect(bgr)
    (mirrored,) = blazeface.detect(cast(ImageBgr, cv2.flip(bgr, 1)))
    assert face.eyes is not None
    assert mirrored.eyes is not None
    assert face.eyes.left.x < face.eyes.right.x
    assert mirrored.eyes.left.x == pytest.approx(bgr.shape[1] - face.eyes.right.x, abs=3)


def test_a_portrait_picture_keeps_its_faces(media_dir: Path, blazeface: BlazeFace) -> None:
    bgr = next(frames(media_dir / "signing-book.mkv"))
    (face,) = blazeface.detect(bgr)
    (in_portrait,) = blazeface.detect(np.ascontiguousarray(bgr[:, 160:480]))
    assert in_portrait.box.iou(face.box._replace(x=face.box.x - 160)) > 0.8


@pytest.mark.parametrize(("min_score", "found"), [(0.0, True), (1.0, False)])
def test_the_least_and_the_highest_score_are_no_error(min_score: float, found: bool) -> None:
    network = Network()
    network.put(20, 20, 0.9, [0, 0, 40, 40])
    assert bool(detector_of(network, min_score=min_score).detect(SQUARE)) == found


@pytest.mark.parametrize("shape", [(1, 1, 3), (480, 640, 3), (2000, 30, 3)])
def test_an_empty_picture_has_no_face(shape: tuple[int, ...], blazeface: BlazeFace) -> None:
    assert blazeface.detect(np.full(shape, 90, np.uint8)) == []


def test_haar_finds_the_face_without_eyes(
    media_dir: Path, blazeface: BlazeFace, haar: HaarDetector
) -> None:
    bgr = next(frames(media_dir / "signing-eat.mkv"))
    (face,) = haar.detect(bgr)
    assert face.eyes is None
    assert face.box.iou(blazeface.detect(bgr)[0].box) > 0.5


@pytest.mark.usefixtures("haar")
def test_without_a_blazeface_file_auto_is_haar_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert build_detector("auto", models_dir=tmp_path).name == "haar"
    assert "python models/fetch_blazeface.py" in caplog.text


def test_auto_is_blazeface_where_its_file_is(
    blazeface_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert build_detector(models_dir=blazeface_dir).name == "blazeface"
    assert not caplog.records


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize(("wrong", "other"), [("short", "full"), ("full", "short")])
def test_a_file_of_another_network_is_named(
    wrong: Range, other: Range, still: bool, blazeface_dir: Path, tmp_path: Path
) -> None:
    for name in BLAZEFACE_FILES.values():
        shutil.copy(blazeface_dir / name, tmp_path)
    into = tmp_path / BLAZEFACE_FILES[wrong]
    shutil.copy(blazeface_dir / BLAZEFACE_FILES[other], into)
    used: Range
    for used in ("both", wrong):
        with pytest.raises(ModelError, match=f"{into.name} is .*BlazeFace.*; fix: python"):
            build_detector("blazeface", models_dir=tmp_path, face_range=used, still=still)


@pytest.mark.parametrize("backend", ["blazeface", "mediapipe"])
@pytest.mark.parametrize("kept", [0, 5, 300_000])
def test_a_damaged_blazeface_file_is_named(
    backend: str, kept: int, blazeface_dir: Path, tmp_path: Path
) -> None:
    for name in BLAZEFACE_FILES.values():
        shutil.copy(blazeface_dir / name, tmp_path)
    into = tmp_path / BLAZEFACE_FILES["full"]
    content = into.read_bytes()
    if kept and Interpreter(content).runtime.startswith("tflite-runtime"):
        pytest.skip("tflite-runtime crashes on damaged files")
    into.write_bytes(content[:kept])
    with pytest.raises(ModelError, match=f"{into}.*; fix: python models/fetch_bl"):
        build_detector(backend, models_dir=tmp_path)


@pytest.mark.parametrize("backend", ["blazeface", "mediapipe"])
def test_a_missing_blazeface_file_is_an_error_when_asked_for(backend: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is missing; fix: python models/fetch_bl"):
        build_detector(backend, models_dir=tmp_path)


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="known are auto, blazeface, mediapipe, haar"):
        build_detector("dlib")


def test_mediapipe_absent_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(DetectorUnavailable, match="pip install mediapipe"):
        MediaPipeDetector(tmp_path / BLAZEFACE_FILES["full"])
