"""`python -m train evaluate` on an export and on TFLite files: figures, page, card, refusals."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
pytest.importorskip("keras", reason="the train extra is not installed")

# stripes imports Keras
from support.drawn_faces import COLUMNS
from support.stripes import stripes

from train.__main__ import main
from train.dataset import LABELS

# Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TRAINING, TEST = 14, 70


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fer2013.csv` of stripes with FER+ votes beside it; a test face is also in Training."""
    folder = tmp_path_factory.mktemp("fer2013")
    test_x, test_y = stripes(TEST, seed=2)
    x, y = stripes(TRAINING, seed=1)
    x[0], y[0] = test_x[0], test_y[0]
    rows, votes = ["emotion,pixels,Usage"], [f"Usage,{','.join(COLUMNS)}"]
    for usage, images, labels in (("Training", x, y), ("PublicTest", test_x, test_y)):
        for image, label in zip(images, labels, strict=True):
            rows.append(f"{label},{' '.join(map(str, image.ravel()))},{usage}")
            votes.append(
                f"{usage},{','.join(map(str, 10 * np.eye(len(COLUMNS), dtype=int)[label]))}"
            )
    (folder / "fer2013.csv").write_text("\n".join(rows) + "\n")
    (folder / "fer2013new.csv").write_text("\n".join(votes) + "\n")
    return folder


def evaluated(network: Path, dataset: Path, output: Path, *more: object) -> dict[str, Any]:
    words = ["evaluate", network, dataset, "--output", output, *more]
    assert main([str(word) for word in words]) == 0
    report = output / network.name / "PublicTest" / "metrics.json"
    metrics: dict[str, Any] = json.loads(report.read_text())
    return metrics


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Return the one line with which the command ends."""
    capsys.readouterr()
    assert main(["evaluate", *map(str, words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: ")
    return line


def test_an_export_and_all_its_variants_get_the_same_report(
    export_dir: Path, converted: Path, dataset: Path, tmp_path: Path
) -> None:
    keras = evaluated(export_dir, dataset, tmp_path)
    own = keras["sets"]["FER2013"]
    assert own["accuracy"] > 0.8
    assert keras["model"]["runtime"].startswith("keras ")
    variants = [converted, *sorted(converted.parent.glob("stripes.*.tflite"))]
    assert len(variants) == 4
    for file in variants:
        found = evaluated(file, dataset, tmp_path)
        assert found.keys() == keras.keys()
        assert found["annotations"] == "FER2013"
        scored = found["sets"]["FER2013"]
        assert scored["accuracy"] == pytest.approx(own["accuracy"], abs=0.05)
        for key in ("ece", "nll"):
            expected = own["calibration"][key]
            assert scored["calibration"][key] == pytest.approx(expected, abs=0.05)
        for name, mean in found["robustness"]["mean_accuracy"].items():
            assert mean == pytest.approx(keras["robustness"]["mean_accuracy"][name], abs=0.05)
        assert found["model"]["bytes"] == file.stat().st_size


def test_the_report_adds_up_and_the_card_has_its_figures(
    shipped_model: Path, dataset: Path, tmp_path: Path
) -> None:
    card = tmp_path / "expression.md"
    metrics = evaluated(shipped_model, dataset, tmp_path, "--card", card)
    assert set(metrics["sets"]) == {"FER2013", "FER+"}
    for found in metrics["sets"].values():
        matrix = np.array(found["confusion"])
        assert matrix.sum(axis=1).tolist() == [TEST // 7] * 7
        assert found["accuracy"] == pytest.approx(np.trace(matrix) / TEST)
        assert sum(each["faces"] for each in found["calibration"]["reliability"]) == TEST
        assert found["coverage"][0]["accuracy"] == found["accuracy"]
        for number, answers in enumerate(found["answers"].values()):
            assert answers[0]["named"] == matrix[:, number].sum()
            assert answers[0]["right"] == matrix[number, number]
    assert metrics["sets"]["FER+"]["confusion"] == metrics["sets"]["FER2013"]["confusion"]
    assert metrics["votes"]["fer2013_agrees"] == 1
    own = metrics["sets"]["FER2013"]
    wrong = round(TEST * (1 - own["accuracy"]))
    assert len(metrics["mistakes"]) == min(wrong, 24)
    assert all(each["label"] != each["answer"] for each in metrics["mistakes"])
    assert metrics["also_in_training"] == 1

    folder = tmp_path / shipped_model.name / "PublicTest"
    page, text = (folder / "index.html").read_text(), card.read_text()
    pictures = 4 + len(metrics["mistakes"])
    assert page.count("<img") == page.count('src="data:image/png;base64,') == pictures
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert {p.name for p in folder.glob("*.png")} == {
        "confusion.png", "reliability.png", "robustness.png", "coverage.png"
    }  # fmt: skip
    for label in LABELS:
        assert f"<td>{label}</td>" in page
        assert f"| {label} |" in text
    assert hashlib.sha256(shipped_model.read_bytes()).hexdigest() in text
    one_line, accuracy = " ".join(text.split()), metrics["sets"]["FER2013"]["accuracy"]
    assert f"of {100 * accuracy:.1f} % of all {TEST} faces of PublicTest" in one_line
    assert "1 of PublicTest's 70 faces are also in Training, pixel for pixel" in one_line
    assert "FER2013 has no demographic labels" in text
    with zipfile.ZipFile(shipped_model) as archive:
        training = json.loads(archive.read("spec.json"))["training"]
    assert f"| training: seed | {training['seed']} |" in text
    assert "disturbances of other kinds may cost more" in text
    for corruption in metrics["robustness"]["corruptions"].values():
        for accuracy in corruption["accuracy"].values():
            assert f"{100 * accuracy[2]:.2f} % ({corruption['levels'][2]:g})" in text


def test_without_votes_the_other_figures_are_reported(
    shipped_model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "fer2013.csv"
    alone.write_bytes((dataset / "fer2013.csv").read_bytes())
    metrics = evaluated(shipped_model, alone, tmp_path)
    assert metrics["votes"] is None
    assert "no fer2013new.csv with votes on PublicTest" in capsys.readouterr().out
    page = (tmp_path / shipped_model.name / "PublicTest" / "index.html").read_text()
    assert "votes were not available" in page


def test_what_cannot_be_evaluated_is_named(
    broken_dir: Path, converted: Path, dataset: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for content in (b"", b"no model", converted.read_bytes()[:2000]):
        damaged = tmp_path / "damaged.tflite"
        damaged.write_bytes(content)
        assert f"{damaged}: neither an export folder nor" in refused(capsys, damaged, dataset)
    assert "No such file" in refused(capsys, tmp_path / "nowhere.tflite", dataset)
    assert "no split PrivateTest (found: Training, PublicTest)" in refused(
        capsys, converted, dataset, "--split", "PrivateTest"
    )
    assert "a model card describes a .tflite file" in refused(
        capsys, broken_dir, dataset, "--card", tmp_path / "card.md"
    )
    (broken_dir / "model.weights.h5").unlink()
    assert f"{broken_dir}: not a complete export" in refused(capsys, broken_dir, dataset)
    assert not (tmp_path / "card.md").exists()
