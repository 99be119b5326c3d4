"""Tests the class contempt of FER+'s voters, from the votes to a running daemon."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.daemon import Daemon
from support.drawn_faces import TEST, TRAINING, faces, write_table, write_votes
from support.labels import LABELS
from support.paths import ROOT
from support.training import run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
pytest.importorskip("keras", reason="the train extra is not installed")

from support.conversion import convert_on_litert

from convert.contract import drawn_faces
from train.dataset import WITH_CONTEMPT, read_dataset
from train.ferplus import read_votes_beside
from train.loading import load_model
from train.networks import build
from train.recipe import SGD_RECIPE
from train.run import finish
from train.selection import select
from train.spec_file import labels_of
from train.targets import make_training_set
from train.warm_start import load_start

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHIPPED = ROOT / "models" / "expression.tflite"
RECIPE = replace(SGD_RECIPE, labels=WITH_CONTEMPT)
CONTEMPT = 7


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FER2013's form with votes; the voters call neutral faces contempt."""
    folder = tmp_path_factory.mktemp("contempt")
    write_table(folder / "fer2013.csv")
    votes = write_votes(folder / "fer2013new.csv")
    votes.write_text(votes.read_text().replace(",8,2,0,0\n", ",2,8,0,0\n"))
    return folder


@pytest.fixture(scope="module")
def exports(dataset: Path) -> Path:
    """Train eight classes, starting from the shipped models; return the two exports."""
    splits = read_dataset(dataset, WITH_CONTEMPT)
    selection = select(splits, read_votes_beside(dataset, len(WITH_CONTEMPT)), 1)
    network = build(RECIPE)
    load_start(network, RECIPE, SHIPPED, splits["Training"].x)
    finish(network, selection, RECIPE, name="eight", folder=dataset / "exports" / "eight")
    return dataset / "exports"


def test_the_votes_for_contempt_become_targets(dataset: Path) -> None:
    splits = read_dataset(dataset, WITH_CONTEMPT)
    votes = read_votes_beside(dataset, len(WITH_CONTEMPT))
    assert votes["Training"].majority()[:7].tolist() == [1, 1, 2, 3, 4, 5, CONTEMPT]
    targets = make_training_set(select(splits, votes, 1), votes["Training"], RECIPE).targets
    assert targets.shape == (TRAINING, 2 * len(WITH_CONTEMPT))
    assert targets[6, -1] == pytest.approx(0.8)
    seven = votes["Training"].among(len(LABELS))
    assert seven.others[6].tolist() == [8, 0, 0]
    assert seven.majority()[:7].tolist() == [1, 1, 2, 3, 4, 5, -1]


def test_the_export_of_the_votes_has_contempt_and_that_of_the_labels_has_not(
    exports: Path,
) -> None:
    x, _ = faces(70, 6)
    for name, labels, classes in (
        ("eight", WITH_CONTEMPT, [1, 1, 2, 3, 4, 5, CONTEMPT]),
        ("eight-fer2013", LABELS, [0, 1, 2, 3, 4, 5, 6]),
    ):
        folder = exports / name
        assert labels_of(folder) == labels
        with np.load(folder / "test.npz") as test:
            assert test["y"][:7].tolist() == classes
        spec = json.loads((folder / "spec.json").read_text())
        assert f"{len(labels)} probabilities" in spec["description"]
        answers = load_model(folder, labels).classify(x[..., None])
        np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
        # Without a training it answers as the shipped model does, and contempt is rare.
        shipped = load_model(SHIPPED.with_stem(name.replace("eight", "expression")), LABELS)
        before = shipped.classify(x[..., None])
        assert (answers.argmax(axis=1) == before.argmax(axis=1)).mean() > 0.9
        assert (answers[:, len(LABELS) :] < 0.3).all()


def test_a_daemon_runs_the_converted_network_with_its_eight_labels(
    exports: Path, tmp_path: Path
) -> None:
    folder, target = exports / "eight", tmp_path / "eight.tflite"
    x = drawn_faces(48, 48)  # to stripes the untrained network gives one answer only
    y = load_model(folder, WITH_CONTEMPT).classify(x).argmax(axis=1)
    np.savez(folder / "test.npz", x=x, y=y)
    convert_on_litert(folder, target, "float16")
    assert labels_of(target) == WITH_CONTEMPT
    status, said = run("evaluate", target, exports.parent, "--output", tmp_path / "reports")
    assert status == 0
    assert "contempt 0)" in said
    report = json.loads(
        (tmp_path / "reports" / target.name / "PublicTest" / "metrics.json").read_text()
    )
    assert report["sets"]["FER+"]["classes"]["contempt"]["faces"] == TEST // 7
    with Daemon(tmp_path, f"model={target}", "camera.source=demo") as daemon:
        assert daemon.state()["model"]["labels"] == list(WITH_CONTEMPT)


@pytest.mark.parametrize("options", [(), ("--votes-head", 0)], ids=["no votes", "no head"])
def test_contempt_without_a_head_for_votes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...]
) -> None:
    write_table(tmp_path / "fer2013.csv")
    if options:
        write_votes(tmp_path / "fer2013new.csv")
    words = ("fit", tmp_path, "--contempt", "yes", *options, "--output", tmp_path / "exports")
    status, said = run(*words)
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: FER2013: no label is contempt, only FER+'s votes are; put ")
    assert "parameters" not in said
