"""Distillation: a whole run on a small drawn dataset with two heads."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from support.drawn_faces import write_table, write_votes
from support.training import run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
pytest.importorskip("keras", reason="the train extra is not installed")

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(600),
]


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
