"""Distillation: its loss against made-up numbers, and a whole run on a small drawn dataset."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.drawn_faces import write_table
from support.training import run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
keras = pytest.importorskip("keras", reason="the train extra is not installed")

# ruff: noqa: E402  # these import Keras
from train.losses import Distillation, accuracy, loss_of, soften, truth
from train.recipe import SGD_RECIPE

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(600),
]

STUDENT = replace(
    SGD_RECIPE,
    votes_head=0.0,
    teachers=2,
    teacher="slim-resnet18",
    teacher_temperature=3.0,
    taught=0.7,
)


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def test_the_loss_is_hintons() -> None:
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(0, 2, (2, 5, 7))
    y = np.eye(7)[rng.integers(0, 7, 5)]
    targets = np.hstack([y, softmax(teacher / 3)])
    by_labels = -(y * np.log(softmax(student))).sum(axis=1)
    by_teachers = -(softmax(teacher / 3) * np.log(softmax(student / 3))).sum(axis=1)
    wanted = (0.3 * by_labels + 0.7 * 9 * by_teachers).mean()
    loss = Distillation(temperature=3.0, share=0.7)(targets, softmax(student))
    assert float(loss) == pytest.approx(wanted, rel=1e-4)


def test_softening_is_dividing_the_logits() -> None:
    logits = np.random.default_rng(2).normal(0, 2, (5, 7))
    softened = soften(softmax(logits).astype(np.float32), 4.0)
    np.testing.assert_allclose(softened, softmax(logits / 4), atol=1e-5)


def test_accuracy_looks_at_the_labels_alone() -> None:
    y = np.arange(7)
    targets = truth(y, STUDENT)
    assert targets.shape == (7, 14)
    targets[:, 7:] = targets[::-1, 7:]
    assert np.asarray(accuracy(targets, np.eye(7, dtype=np.float32))).mean() == 1
    untaught = replace(SGD_RECIPE, votes_head=0.0)
    assert truth(y, untaught).shape == (7, 7)
    assert not isinstance(loss_of(untaught), Distillation)


def test_a_student_is_trained_from_its_teachers_and_exported(tmp_path: Path) -> None:
    table = write_table(tmp_path / "fer2013.csv")
    command = (
        "distil", table, "--name", "student", "--output", tmp_path / "exports", "--epochs", 1,
        "--teachers", 2, "--teacher", "compact", "--teacher-epochs", 1,
    )  # fmt: skip
    status, said = run(*command)
    assert status == 0
    folder = tmp_path / "exports" / "student"
    answers = [np.load(folder / "teachers" / n / "answers.npy") for n in ("1", "2")]
    assert answers[0].shape == (70, 7)
    assert not np.allclose(*answers)
    np.testing.assert_allclose(answers[0].sum(axis=1), 1, atol=1e-4)
    training = json.loads((folder / "spec.json").read_text())["training"]
    assert training["architecture"] == "compact"
    assert training["teachers"] == 2
    assert training["teacher"] == "compact"
    assert training["teacher_temperature"] == 3
    assert "teacher in " in said
