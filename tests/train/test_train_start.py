"""Training that starts from a model file or an export, with both heads."""

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
keras = pytest.importorskip("keras", reason="the train extra is not installed")

# ruff: noqa: E402  # these import Keras
from convert import rounding, tflite
from train import networks
from train.errors import ModelFileError
from train.loading import keras_classifier, load_model
from train.networks import VOTES, build, heads_in_float32
from train.recipe import SGD_RECIPE, Recipe
from train.warm_start import load_start, sha256_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(600),
]

SHIPPED = ROOT / "models" / "expression.tflite"
ONE_HEAD = Recipe.of("compact", votes_head=0.0)


# --- starting from a file ---


def test_a_network_starts_with_the_files_answers_and_can_learn() -> None:
    x, _ = faces(64, 3)
    network = build(ONE_HEAD)
    load_start(network, ONE_HEAD, SHIPPED, x[..., None])
    given = load_model(SHIPPED, LABELS).classify(x[..., None])
    own = keras_classifier(network)(x[..., None])
    assert np.abs(own - given).max() < 0.1  # int8 rounds
    norms = [each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)]
    seen = keras.Model(network.input, [each.input for each in norms]).predict_on_batch(x[..., None])
    for norm, numbers in zip(norms, seen, strict=True):  # else the first steps would ruin it
        wanted = np.std(numbers, axis=(0, 1, 2))
        np.testing.assert_allclose(np.sqrt(norm.moving_variance), wanted, rtol=1e-2, atol=1e-3)


def test_a_mean_that_conversion_folded_into_a_convolution_is_restored(tmp_path: Path) -> None:
    content = SHIPPED.read_bytes()
    notes, files = tflite.read_metadata(content), tflite.read_files(content)
    assert notes is not None
    folded = tmp_path / "folded.tflite"
    folded.write_bytes(tflite.seal(rounding.unambiguous(content), notes, files))
    assert "MEAN" not in {each.name for each in tflite.read(folded.read_bytes()).operators}
    x, _ = faces(64, 3)
    network = build(ONE_HEAD)
    load_start(network, ONE_HEAD, folded, x[..., None])
    given, own = (
        classify(x[..., None])
        for classify in (load_model(folded, LABELS).classify, keras_classifier(network))
    )
    assert np.abs(own - given).max() < 0.1  # int8 rounds


def test_a_file_of_another_architecture_is_refused() -> None:
    x, _ = faces(16, 3)
    seed = Recipe.of("seed")
    with pytest.raises(ModelFileError, match="not of the architecture seed"):
        load_start(build(seed), seed, SHIPPED, x[..., None])


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read (No such file or directory)."), (b"no model", "neither an export")],
    ids=["missing", "broken"],
)
def test_a_start_that_is_not_a_model_is_refused(
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


# --- both heads ---


def test_a_run_with_votes_exports_both_heads(tmp_path: Path) -> None:
    """Angry faces are disgust to the voters, and the two exports answer so."""
    write_table(tmp_path / "fer2013.csv")
    write_votes(tmp_path / "fer2013new.csv")
    command = (
        "fit", tmp_path, "--output", tmp_path / "exports", "--epochs", 12,
        "--start", SHIPPED, "--learning-rate", 0.03,
    )  # fmt: skip
    status, output = run(*command)
    assert status == 0
    folders = [tmp_path / "exports" / name for name in ("expression", "expression-fer2013")]
    specs = [json.loads((folder / "spec.json").read_text()) for folder in folders]
    assert [spec["name"] for spec in specs] == ["expression", "expression-fer2013"]
    assert [spec["dataset"]["annotations"] for spec in specs] == ["FER+", "FER2013"]
    for spec in specs:
        assert spec["training"]["start"] == sha256_of(SHIPPED)
        assert spec["training"]["votes_head"] == SGD_RECIPE.votes_head
        assert spec["training"]["learning_rate"] == 0.03
    x, y = faces(70, 6)
    by_votes, by_label = (
        load_model(folder, LABELS).classify(x[..., None])[y == 0] for folder in folders
    )
    assert by_label[:, 0].mean() > by_votes[:, 0].mean() + 0.05
    assert by_votes[:, 1].mean() > by_label[:, 1].mean() + 0.05
    for folder, labels in zip(folders, ([1, 1, 2], [0, 1, 2]), strict=True):
        with np.load(folder / "test.npz") as test:
            assert test["y"][:3].tolist() == labels
    assert "expression-fer2013: PublicTest: FER2013 accuracy " in output

    again = build(SGD_RECIPE)
    load_start(again, SGD_RECIPE, folders[0], x[..., None])
    heads = heads_in_float32(again, SGD_RECIPE)
    for head, folder in zip((VOTES, networks.LABELS), folders, strict=True):
        answers = keras_classifier(heads[head])(x[..., None])
        exported = load_model(folder, LABELS).classify(x[..., None])
        np.testing.assert_allclose(answers, exported, atol=1e-4)


def test_votes_on_the_training_faces_alone_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path / "fer2013.csv")
    votes = write_votes(tmp_path / "fer2013new.csv")
    lines = [line for line in votes.read_text().splitlines() if "PublicTest" not in line]
    votes.write_text("\n".join(lines) + "\n")
    status, _ = run("fit", tmp_path, "--output", tmp_path / "exports")
    assert status == 2
    assert "fer2013new.csv: has no votes on PublicTest" in capsys.readouterr().err
