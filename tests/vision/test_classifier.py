"""The model file's contract and the crop of a face, with the shipped model."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.labels import LABELS

from edge_daemon.core.types import Box, Eyes, ImageBgr, ImageGray, Point
from edge_daemon.vision.classifier import Classifier, crop_face
from edge_daemon.vision.interpreter import ModelError
from edge_daemon.vision.model_file import Crop, read_model_file

CROP = Crop(side=1.0, eyes=Point(0.5, 0.4), box=Point(0.5, 0.5))


def test_the_shipped_model_says_what_it_is(shipped_model: Path) -> None:
    model = read_model_file(shipped_model)
    assert model.labels == LABELS
    assert model.size_px == 48
    assert len(model.content) <= 1_000_000
    assert len(model.sha256) == 64


def test_scores_are_probabilities(shipped_model: Path) -> None:
    classifier = Classifier(read_model_file(shipped_model))
    rng = np.random.default_rng(1)
    face = rng.integers(0, 256, (48, 48), dtype=np.uint8)
    scores = classifier.score(face)
    assert scores.shape == (7,)
    assert scores.dtype == np.float32
    assert abs(scores.sum() - 1) < 1e-3
    frame = bgr(np.asarray(cv2.resize(face, (200, 200)), dtype=np.uint8))
    assert classifier.classify(frame, Box(20, 20, 150, 150), None).shape == (7,)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is not a TFLite model"),
        (b"nonsense" * 100, "is not a TFLite model"),
        (b"\0\0\0\0TFL3" + b"\0" * 100, "no spec.json"),
    ],
)
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=expected) as caught:
        read_model_file(path)
    assert str(path) in str(caught.value)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.tflite: the model cannot be read: No such file"):
        read_model_file(tmp_path / "m.tflite")


def test_an_incomplete_spec_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"\0\0\0\0TFL3")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("spec.json", '{"schema": 1, "name": "x"}')
    with pytest.raises(ModelError, match="has no 'crop'"):
        read_model_file(path)


def bgr(gray: ImageGray) -> ImageBgr:
    """Return a gray picture in color, which turned gray again is the same."""
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)


def ramp() -> ImageBgr:
    """Return a picture whose value is its x coordinate at the pixel's center."""
    return bgr(np.tile(np.arange(240, dtype=np.uint8), (200, 1)))


def test_an_upright_crop_is_the_box() -> None:
    face = crop_face(ramp(), Box(40, 40, 96, 96), None, CROP, 48)
    assert face.shape == (48, 48)
    assert abs(float(face[:, 0].mean()) - 40.5) <= 1
    assert abs(float(face[:, -1].mean()) - 134.5) <= 1


def test_the_eyes_set_place_and_turn() -> None:
    picture = np.zeros((300, 300), np.uint8)
    turn = math.radians(20)
    half = np.array([math.cos(turn), math.sin(turn)]) * 20
    middle = np.array([150.0, 140.0])
    left, right = middle - half, middle + half
    for eye in (left, right):
        cv2.circle(picture, (round(eye[0] - 0.5), round(eye[1] - 0.5)), 4, 255, -1)
    eyes = Eyes(Point(*left), Point(*right))
    face = crop_face(bgr(picture), Box(102, 102, 96, 96), eyes, CROP, 48)
    rows, columns = np.nonzero(face > 100)
    assert abs(rows.mean() + 0.5 - 0.4 * 48) < 0.7
    assert abs(columns.mean() + 0.5 - 24) < 0.7
    assert rows.max() - rows.min() <= 5
    assert abs(np.ptp(columns) - 20 - 4) <= 2


def test_beyond_the_frame_the_edge_goes_on() -> None:
    face = crop_face(ramp(), Box(-50, -50, 100, 100), None, CROP, 48)
    assert int(face[0, 0]) == 0
    assert face.max() >= 45


@pytest.mark.parametrize("turn", [0.0, 0.4, -1.2])
@pytest.mark.parametrize("x", [-150.0, -40.0, 100.0, 210.0, 400.0])
def test_what_lies_round_the_face_does_not_matter(x: float, turn: float) -> None:
    """Only the part that is needed is turned gray; the face is that of the whole gray frame."""
    frame = np.random.default_rng(5).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    whole = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
    box = Box(x, 90.0, 70.0, 80.0)
    half = Point(15 * math.cos(turn), 15 * math.sin(turn))
    eyes = Eyes(
        Point(box.center.x - half.x, box.center.y - half.y),
        Point(box.center.x + half.x, box.center.y + half.y),
    )
    face = crop_face(frame, box, eyes, CROP, 48)
    assert np.array_equal(face, crop_face(bgr(whole), box, eyes, CROP, 48))
    margin = cv2.copyMakeBorder(frame, 200, 200, 200, 200, cv2.BORDER_REPLICATE)
    moved = [Point(eye.x + 200, eye.y + 200) for eye in eyes]
    inside = crop_face(
        np.asarray(margin, np.uint8), Box(x + 200, 290, 70, 80), Eyes(*moved), CROP, 48
    )
    assert np.abs(face.astype(int) - inside).max() <= 1


def test_a_large_face_is_averaged_not_aliased() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (480, 240))
    face = crop_face(bgr(stripes), Box(0, 0, 480, 480), None, CROP, 48)
    assert int(face.max()) - int(face.min()) < 40
