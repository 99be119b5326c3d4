"""Distillation, from teachers trained for it or from model files, on a small drawn dataset."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from support.drawn_faces import faces, write_table, write_votes
from support.labels import LABELS
from support.paths import ROOT
from support.training import run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
pytest.importorskip("keras", reason="the train extra is not installed")

# these import Keras
from train.dataset import Split
from train.distil import add_teachers
from train.loading import load_model
from train.losses import soften
from train.recipe import Recipe
from train.targets import TrainingSet, smooth
from train.warm_start import sha256_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(600),
]

VOTERS = ROOT / "models" / "expression.tflite"
FER2013 = ROOT / "models" / "expression-fer2013.tflite"


def test_a_student_is_trained_from_its_teachers_and_exported(tmp_path: Path) -> None:
    table = write_table(tmp_path / "fer2013.csv")
    write_votes(tmp_path / "fer2013new.csv")
    command = (
        "distil", table, "--name", "student", "--output", tmp_path / "exports", "--epochs", 1,
        "--teachers", 2, "--teacher", "compact", "--teacher-epochs", 1,
    )  # fmt: skip
    status, output = run(*command)
    assert status == 0
    folder = tmp_path / "exports" / "student"
    answers = [np.load(folder / "teachers" / n / "answers.npy") for n in ("1", "2")]
    assert answers[0].shape == (70, 14)
    assert not np.allclose(*answers)
    np.testing.assert_allclose(answers[0].sum(axis=1), 2, atol=1e-4)
    training = json.loads((folder / "spec.json").read_text())["training"]
    assert training["architecture"] == "compact"
    assert training["teachers"] == 2
    assert training["teacher"] == "compact"
    assert training["teacher_temperature"] == 3
    assert "teacher in " in output


def test_model_files_teach_the_head_of_the_labels_they_learned(tmp_path: Path) -> None:
    """Voters say only what the drawn labels say, so they sharpen what the file answers."""
    x, y = faces(14, 3)
    x, truth = x[..., None], np.eye(7, dtype=np.float32)[y]
    training = TrainingSet(x, np.hstack([smooth(y, 7, 0.1), truth]), np.ones(14, np.float32))
    recipe = Recipe.of("compact", teachers=2, teacher_temperature=2.0, teacher_share=0.5)
    taught = add_teachers(
        training, Split("PublicTest", x, y, LABELS), recipe, 0, tmp_path,
        files=[FER2013, VOTERS], shares=None,
    )  # fmt: skip
    assert taught.targets.shape == (14, 28)
    np.testing.assert_array_equal(taught.targets[:, :14], training.targets)
    labels, votes = taught.targets[:, 14:21], taught.targets[:, 21:]
    by_voters, by_labels = (
        np.mean([classify(x), classify(x[:, :, ::-1])], axis=0)
        for classify in (load_model(path, LABELS).classify for path in (VOTERS, FER2013))
    )
    np.testing.assert_allclose(votes, soften(np.asarray(by_voters, np.float32), 2.0), atol=0.01)
    product = by_labels * np.maximum(truth, 1e-6)
    with_votes = product**0.25 / (product**0.25).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(labels, with_votes.tolist(), atol=0.01)

    kept = tmp_path / f"{sha256_of(VOTERS)}.npy"
    np.save(kept, truth)  # a resumed training takes these and does not ask again
    again = add_teachers(
        training, Split("PublicTest", x, y, LABELS), recipe, 0, tmp_path,
        files=[FER2013, VOTERS], shares=None,
    )  # fmt: skip
    np.testing.assert_allclose(again.targets[:, 21:], soften(truth, 2.0), atol=0.01)


def test_a_head_without_a_teacher_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "fer2013.csv")
    write_votes(tmp_path / "fer2013new.csv")
    status, _ = run(
        "distil", table, "--output", tmp_path / "exports", "--teacher-files", VOTERS, "--epochs", 1
    )
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"train: {VOTERS}: none of the teachers learned the dataset's labels")
