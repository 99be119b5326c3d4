"""Averaging the weights of trainings, here of the shipped model with itself."""

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
from train.averaging import measure_statistics
from train.loading import load_model
from train.networks import build
from train.recipe import Recipe
from train.warm_start import load_start, sha256_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(600),
]

SHIPPED = ROOT / "models" / "expression.tflite"


def test_statistics_are_the_mean_of_the_faces() -> None:
    x, _ = faces(512, 3)
    network = build(Recipe.of("compact"))
    before = network.get_weights()
    first = next(
        each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)
    )
    momentum = first.momentum
    measure_statistics(network, x[..., None], seed=1)
    seen = keras.Model(network.input, first.input).predict_on_batch(x[..., None])
    np.testing.assert_allclose(first.moving_mean, seen.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(first.moving_variance, seen.var(axis=(0, 1, 2)), rtol=0.02)
    assert first.momentum == momentum
    np.testing.assert_array_equal(network.get_weights()[0], before[0])


def test_a_model_and_itself_have_its_weights_and_both_heads(tmp_path: Path) -> None:
    write_table(tmp_path / "fer2013.csv")
    write_votes(tmp_path / "fer2013new.csv")
    output = tmp_path / "exports"
    status, _ = run("average", tmp_path, SHIPPED, SHIPPED, "--name", "mean", "--output", output)
    assert status == 0
    recipe = Recipe.of("compact")
    start = build(recipe)
    load_start(start, recipe, SHIPPED, faces(70, 1)[0][..., None])
    for name, learned in (("mean", "FER+"), ("mean-fer2013", "FER2013")):
        spec = json.loads((output / name / "spec.json").read_text())
        assert spec["dataset"]["annotations"] == learned
        assert spec["training"]["averaged"] == [sha256_of(SHIPPED)] * 2
        network = load_model(output / name, LABELS).network
        assert network is not None
        np.testing.assert_allclose(network.get_weights()[0], start.get_weights()[0], rtol=1e-6)


def test_what_is_no_training_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "fer2013.csv")
    status, _ = run("average", table, tmp_path / "nothing", "--output", tmp_path / "exports")
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"train: {tmp_path / 'nothing'}")
