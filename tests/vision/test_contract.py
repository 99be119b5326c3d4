"""Tests that training, conversion and daemon, connected only by files, give the same answers."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.paths import ROOT

from edge_daemon.commands import main as edge_daemon
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.model_file import ModelFile, read_model_file

# Trains a net of one convolution on drawn faces, exports it as `train` does, and notes what Keras
# answers. In a process of its own: TensorFlow is none of the daemon's business.
TRAIN = """
import sys
from pathlib import Path
import keras, numpy as np
from keras import layers
from train.dataset import Split
from train.evaluate import evaluate
from train.export import export
from train.recipe import Recipe
from train.loading import keras_classifier
from train.report import write_report
from train.selection import Selection

folder = Path(sys.argv[1])
with np.load(folder.parent / "faces.npz") as faces:
    split = Split("PublicTest", faces["x"], faces["y"])
keras.utils.set_random_seed(1)
network = keras.Sequential([
    keras.Input((48, 48, 1)), layers.Rescaling(1 / 255), layers.Conv2D(16, 7, 4),
    layers.BatchNormalization(momentum=0.5), layers.ReLU(), layers.Flatten(),
    layers.Dense(7, activation="softmax"),
])
network.compile("adam", "sparse_categorical_crossentropy")
network.fit(split.x, split.y, epochs=12, batch_size=32, verbose=0)
metrics = evaluate(keras_classifier(network), split)
write_report(metrics, split, folder / "report", title="tiny")
selection = Selection(split, np.arange(len(split.y)), split, None, "")
export(network, Recipe.of("compact"), selection, metrics, name="tiny", folder=folder)
np.save(folder / "keras.npy", network.predict(split.x, verbose=0))
"""


def drawn_face(label: int, rng: np.random.Generator) -> np.ndarray:
    """Return a 48×48 face whose mouth and brows depend on `label`."""
    face = np.full((48, 48), rng.integers(20, 60), np.uint8)
    cv2.ellipse(face, (24, 24), (18, 22), 0, 0, 360, int(rng.integers(150, 220)), -1)
    for x in (16, 32):
        cv2.circle(face, (x, 19), 2 + label % 3, 30, -1)
        cv2.line(face, (x - 4, 12 + label % 4), (x + 4, 12 + label // 2), 40, 2)
    cv2.ellipse(face, (24, 34), (8, 1 + label), 0, 0, 180 if label % 2 else 360, 60, 2)
    shift = np.array([[1, 0, rng.integers(-2, 3)], [0, 1, rng.integers(-2, 3)]], np.float32)
    moved = cv2.warpAffine(face, shift, (48, 48), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)


def python(*words: str | Path, cwd: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an export of the tiny network and the model converted from it."""
    folder = tmp_path_factory.mktemp("contract")
    rng = np.random.default_rng(7)
    labels = np.arange(420) % 7
    faces = np.stack([drawn_face(int(label), rng) for label in labels])[..., None]
    (folder / "exports").mkdir()
    np.savez(folder / "exports" / "faces.npz", x=faces, y=labels)
    python("-c", TRAIN, folder / "exports" / "tiny", cwd=folder)
    python("-m", "convert", "exports/tiny", "--output", "models/tiny.tflite", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def model(workplace: Path) -> ModelFile:
    return read_model_file(workplace / "models" / "tiny.tflite")


def test_the_daemon_reads_what_training_wrote(workplace: Path, model: ModelFile) -> None:
    assert model.name == "tiny"
    assert model.labels[3] == "happy"
    assert 0.5 < model.crop.side < 2
    assert (workplace / "exports/tiny/report/confusion.png").read_bytes()[:4] == b"\x89PNG"


def test_keras_and_the_daemons_classifier_agree(workplace: Path, model: ModelFile) -> None:
    export = workplace / "exports" / "tiny"
    expected = np.load(export / "keras.npy")
    faces = np.load(export / "test.npz")["x"][..., 0]
    classifier = Classifier(model)
    scores = np.stack([classifier.score(face) for face in faces])
    assert (scores.argmax(1) == expected.argmax(1)).mean() >= 0.97
    assert np.abs(scores - expected).mean() < 0.01


def with_goldens(model: ModelFile, path: Path, arrays: Mapping[str, Any] | None) -> Path:
    """Return a copy of the model at `path` with other golden answers, or with none."""
    with zipfile.ZipFile(io.BytesIO(model.content)) as archive:
        spec = archive.read("spec.json")
        start = min(entry.header_offset for entry in archive.infolist())
    path.write_bytes(model.content[:start])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("spec.json", spec)
        if arrays is not None:
            goldens = io.BytesIO()
            np.savez(goldens, **arrays)
            archive.writestr("goldens.npz", goldens.getvalue())
    return path


def doctor(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """Return what it finds of the model at `path`: verdicts and sentences by the check's name."""
    config = path.with_suffix(".yaml")
    config.write_text(f"model: {path}\ndetector: {{backend: haar}}\ncamera: {{source: demo}}\n")
    edge_daemon(["doctor", "--json", "--config", str(config), "--set", "web.port=0"])
    found = json.loads(capsys.readouterr().out)["findings"]
    return {each["check"]: (each["verdict"], each["sentence"]) for each in found}


class TestGoldens:
    """The converter's own answers, on the runtime that is installed here."""

    def test_doctor_finds_what_the_converter_saw(
        self, model: ModelFile, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = doctor(model.path, capsys)
        verdict, said = found["model"]
        assert verdict == "ok"
        assert f"{model.path} (tiny), sha256 {model.sha256[:12]}" in said
        verdict, said = found["goldens"]
        assert verdict == "ok"
        assert "this runtime reproduces the golden answers: the same label on 14 of 14" in said

    def test_answers_that_are_off_are_refused_by_doctor_and_daemon(
        self, model: ModelFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert model.goldens is not None
        faces, scores = model.goldens.faces[..., None], model.goldens.scores.copy()
        top = scores.argmax(axis=1)
        scores[0, top[0]] -= 0.06
        scores[0, top[0] - 1] += 0.06
        path = with_goldens(model, tmp_path / "off.tflite", {"faces": faces, "scores": scores})
        sentence = "its scores differ by up to 0.060 from its golden answers (at most 0.05"
        verdict, said = doctor(path, capsys)["goldens"]
        assert verdict == "error"
        assert sentence in said
        words = ["-m", "edge_daemon", "run", "--config", str(path.with_suffix(".yaml"))]
        daemon = subprocess.run(
            # With a log of its own there is no model of an earlier run to go on with.
            [
                *(sys.executable, *words, "--set", "camera.source=demo"),
                *("--set", f"events.path={tmp_path / 'events.jsonl'}"),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert daemon.returncode == 2
        assert sentence in daemon.stderr

    def test_a_model_without_goldens_is_told_apart_and_runs(
        self, model: ModelFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = with_goldens(model, tmp_path / "bare.tflite", None)
        verdict, said = doctor(path, capsys)["goldens"]
        assert verdict == "warning"
        assert "the model has no golden answers, so this runtime is unchecked" in said

    @pytest.mark.parametrize(
        "arrays",
        [
            {"faces": np.zeros((14, 48, 48, 1), np.uint8)},
            {"faces": np.zeros((2, 9, 9, 1), np.uint8), "scores": np.zeros((2, 7), np.float32)},
        ],
        ids=["no scores", "other size"],
    )
    def test_damaged_goldens_are_named(
        self,
        arrays: Mapping[str, Any],
        model: ModelFile,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = with_goldens(model, tmp_path / "damaged.tflite", arrays)
        verdict, said = doctor(path, capsys)["model"]
        assert verdict == "error"
        assert "its goldens.npz is damaged" in said
