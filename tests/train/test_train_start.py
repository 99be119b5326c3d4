"""Training that goes on from a model file, and the second head that learns FER+'s votes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.drawn_faces import faces, write_table
from support.paths import ROOT
from support.training import run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
keras = pytest.importorskip("keras", reason="the train extra is not installed")

# ruff: noqa: E402  # these import Keras
from convert import container, graph, rounding
from train.errors import ModelFileError
from train.losses import Distillation, WithVotes, accuracy, loss_of, truth
from train.networks import build, with_votes_head
from train.recipe import SGD_RECIPE, Recipe
from train.start import sha256_of, start_from
from train.trained import keras_classifier, read_trained

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(600),
]

SHIPPED = ROOT / "models" / "expression.tflite"
COLUMNS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


def write_votes(path: Path, labels: np.ndarray) -> None:
    """Eight of ten voters for each label, the others for the next one in the list."""
    rows = [
        [8 if each == label else 2 * (each == (label + 1) % 7) for each in range(7)]
        for label in labels
    ]
    lines = [f"Training,{','.join(map(str, row))},0" for row in rows]
    path.write_text("\n".join([f"Usage,{','.join(COLUMNS)},NF", *lines]) + "\n")


# --- going on from a file ---


def test_a_network_begins_with_the_files_answers_and_can_learn() -> None:
    x, _ = faces(64, 3)
    network = build(Recipe.of("compact"))
    start_from(network, SHIPPED, x[..., None])
    given = read_trained(SHIPPED).classify(x[..., None])
    own = keras_classifier(network)(x[..., None])
    assert np.abs(own - given).max() < 0.1  # int8 rounds
    norms = [each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)]
    seen = keras.Model(network.input, [each.input for each in norms]).predict_on_batch(x[..., None])
    for norm, numbers in zip(norms, seen, strict=True):  # else the first steps would ruin it
        wanted = np.std(numbers, axis=(0, 1, 2))
        np.testing.assert_allclose(np.sqrt(norm.moving_variance), wanted, rtol=1e-2, atol=1e-3)


def test_a_mean_that_conversion_put_into_a_convolution_is_taken_out_again(tmp_path: Path) -> None:
    content = SHIPPED.read_bytes()
    notes, files = container.read_metadata(content), container.read_files(content)
    assert notes is not None
    folded = tmp_path / "folded.tflite"
    folded.write_bytes(container.seal(rounding.unambiguous(content), notes, files))
    assert "MEAN" not in {each.name for each in graph.read(folded.read_bytes()).operators}
    x, _ = faces(64, 3)
    network = build(Recipe.of("compact"))
    start_from(network, folded, x[..., None])
    given, own = (
        classify(x[..., None])
        for classify in (read_trained(folded).classify, keras_classifier(network))
    )
    assert np.abs(own - given).max() < 0.1  # int8 rounds


def test_a_file_of_another_architecture_is_refused() -> None:
    x, _ = faces(16, 3)
    with pytest.raises(ModelFileError, match="not of the architecture seed"):
        start_from(build(Recipe.of("seed")), SHIPPED, x[..., None])


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read (No such file or directory)."), (b"no model", "neither an export")],
    ids=["missing", "broken"],
)
def test_what_is_no_model_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    table, file = write_table(tmp_path / "fer2013.csv"), tmp_path / "start.tflite"
    if content:
        file.write_bytes(content)
    status, _ = run("fit", table, "--output", tmp_path / "exports", "--start", file)
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"train: {file}: ")
    assert said in line


# --- the second head ---


def test_the_loss_weighs_the_heads() -> None:
    rng = np.random.default_rng(1)
    own, voted = rng.dirichlet(np.ones(7), (2, 5))
    y, votes = np.eye(7)[rng.integers(0, 7, 5)], rng.dirichlet(np.ones(7), 5)
    votes[0] = 0  # nobody voted for one of the seven
    wanted = -(0.6 * y * np.log(own) + 0.4 * votes * np.log(voted)).sum(axis=1).mean()
    loss = WithVotes(keras.losses.CategoricalCrossentropy(), 0.4)
    found = loss(np.hstack([y, votes]), np.hstack([own, voted]).astype(np.float32))
    assert float(found) == pytest.approx(wanted, rel=1e-4)


def test_a_students_teachers_stand_behind_the_votes() -> None:
    rng = np.random.default_rng(2)
    own, voted, teachers = rng.dirichlet(np.ones(7), (3, 5)).astype(np.float32)
    y, votes = np.eye(7, dtype=np.float32)[[0, 1, 2, 3, 4]], voted[::-1]
    student = replace(SGD_RECIPE, teachers=1, teacher_temperature=2.0, taught=0.5, votes_head=0.25)
    taught = Distillation(2.0, 0.5)(np.hstack([y, teachers]), own)
    by_votes = -(votes * np.log(voted)).sum(axis=1).mean()
    found = loss_of(student)(np.hstack([y, votes, teachers]), np.hstack([own, voted]))
    assert float(found) == pytest.approx(0.75 * float(taught) + 0.25 * by_votes, rel=1e-4)


def test_accuracy_looks_at_labels_and_the_first_head_alone() -> None:
    targets = truth(np.arange(7), SGD_RECIPE)
    assert targets.shape == (7, 14)
    predicted = np.hstack([np.eye(7), np.eye(7)[::-1]]).astype(np.float32)
    assert np.asarray(accuracy(targets, predicted)).mean() == 1


@pytest.mark.parametrize("architecture", ["compact", "seed"])
def test_the_second_head_shares_all_but_the_last_layer(architecture: str) -> None:
    network = build(Recipe.of(architecture))
    both = with_votes_head(network)
    x, _ = faces(4, 5)
    answers = np.asarray(both.predict_on_batch(x[..., None]))
    assert answers.shape == (4, 14)
    np.testing.assert_allclose(answers[:, :7], network.predict_on_batch(x[..., None]), atol=1e-6)
    np.testing.assert_allclose(answers.sum(axis=1), 2, rtol=1e-5)
    own = {id(each) for each in network.trainable_variables}
    added = [each for each in both.trainable_variables if id(each) not in own]
    assert [each.path.partition("/")[0] for each in added] == ["votes", "votes"]


def test_a_run_with_both_exports_the_first_head_alone(tmp_path: Path) -> None:
    write_table(tmp_path / "fer2013.csv")
    write_votes(tmp_path / "fer2013new.csv", faces(70, 1)[1])
    command = (
        "fit", tmp_path, "--output", tmp_path / "exports", "--epochs", 3,
        "--start", SHIPPED, "--learning-rate", 0.01,
    )  # fmt: skip
    status, _ = run(*command)
    assert status == 0
    folder = tmp_path / "exports" / "expression"
    training = json.loads((folder / "spec.json").read_text())["training"]
    assert training["start"] == sha256_of(SHIPPED)
    assert training["votes_head"] == SGD_RECIPE.votes_head
    assert training["learning_rate"] == 0.01
    x, _ = faces(8, 6)
    answers = read_trained(folder).classify(x[..., None])
    assert answers.shape == (8, 7)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-4)
