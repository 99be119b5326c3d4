"""Tests finding copies, conflicts and non-faces: in made-up data and in FER2013."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from train.dataset import LABELS, Split
from train.duplicates import exact_groups, near_pairs
from train.errors import DatasetError
from train.ferplus import Votes, check_rows, read_votes
from train.findings import find

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def blobs(n: int, seed: int) -> NDArray[np.uint8]:
    """Smooth random pictures (n, 48, 48, 1), each unlike the others."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 1), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def dataset() -> dict[str, Split]:
    """Training 0 = Training 1 (other label) = Test 0; Training 2 ≈ Test 1; Training 3 is flat."""
    training, test = blobs(21, 1), blobs(7, 2)
    training[1] = training[0]
    test[0] = training[0]
    noise = np.random.default_rng(3).normal(0, 6, test[1].shape)
    test[1] = np.clip(training[2] * 0.8 + 10 + noise, 0, 255).astype(np.uint8)
    training[3] = 128
    return {
        "Training": Split("Training", training, np.arange(21) % 7),
        "PublicTest": Split("PublicTest", test, np.arange(7)),
    }


def test_exact_and_near_copies_are_found() -> None:
    x = np.concatenate([split.x for split in dataset().values()])
    assert exact_groups(x) == [[0, 1, 21]]
    assert {(p.first, p.second) for p in near_pairs(x)} == {(0, 1), (0, 21), (1, 21), (2, 22)}


def test_the_findings_count_them_by_split() -> None:
    others = np.zeros((7, 3), np.int64)
    others[5:, 2] = 4, 6
    votes = {"PublicTest": Votes(np.zeros((7, 7), np.int64), others)}
    found = find(dataset(), votes)
    assert found.across(0, 1) == {"exact": 2, "exact_or_near": 3}
    assert found.across(1, 0) == {"exact": 1, "exact_or_near": 2}
    assert found.across(0, 0) == {"exact": 2, "exact_or_near": 2}
    assert found.conflicts == [[0, 1, 21]]
    assert found.no_faces == [3, 27]
    summary = found.summary()
    assert summary["splits"]["Training"]["faces"] == 21
    assert summary["splits"]["Training"]["imbalance"] == 1


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="the train extra is not installed")
    from train.explore import explore

    summary = explore(dataset(), {}, tmp_path)
    page = (tmp_path / "index.html").read_text()
    found = 2 + 1 + 1  # a pair of near copies, a conflict, a flat picture
    charts = 3 + len(LABELS)
    assert page.count('src="data:image/png;base64,') == page.count("<img") == charts + found
    assert "Training in PublicTest</td><td>2</td><td>3</td>" in page
    for caption in (
        "Training 2: fear",
        "PublicTest 1: disgust",
        "angry (Training 0), disgust (Training 1), angry (PublicTest 0)",
        "Training 3: happy",
    ):
        assert f"<figcaption>{caption}</figcaption>" in page
    assert json.loads((tmp_path / "explore.json").read_text()) == summary
    assert len(list(tmp_path.glob("*.png"))) == charts


def test_fer_plus_votes_are_those_of_the_rows(fer2013_dir: Path) -> None:
    votes = read_votes(fer2013_dir / "fer2013new.csv")
    assert {name: v.votes.shape for name, v in votes.items()} == {
        "Training": (28708, 7),
        "PublicTest": (3589, 7),
    }
    # The first row reads 4 neutral, 1 sadness, 3 anger, 2 disgust.
    assert votes["Training"].votes[0].tolist() == [3, 2, 0, 0, 1, 0, 4]


def votes_like(y: NDArray[np.int64], agreement: float) -> Votes:
    """Nine votes for the label, or for the next class, so that so many agree with `y`."""
    wrong = np.random.default_rng(1).random(len(y)) >= agreement
    return Votes(9 * np.eye(7, dtype=np.int64)[(y + wrong) % 7], np.zeros((len(y), 3), np.int64))


def test_votes_of_another_number_of_rows_are_refused() -> None:
    splits = dataset()
    votes = {"Training": votes_like(np.arange(22) % 7, 1.0)}
    with pytest.raises(DatasetError, match=r"22 rows of Training, the dataset 21; put the file"):
        find(splits, votes)


def test_votes_shifted_by_a_row_are_refused() -> None:
    """From some row on, as after a lost line, or all, as in the order of class folders."""
    y = np.random.default_rng(2).integers(0, 7, 3000)
    fitting = votes_like(y, 0.65)
    check_rows("Training", fitting, y)
    for first, start in ((0, 1), (1200, 1001)):
        slipped = np.concatenate([y[:first], np.roll(y[first:], 1)])
        with pytest.raises(DatasetError, match=f"from face {start} of Training on"):
            check_rows("Training", fitting, slipped)
    with pytest.raises(DatasetError, match="which class folders have lost"):
        check_rows("Training", fitting, np.sort(y))


@pytest.mark.parametrize("text", ["Usage,anger\nTraining,3\n", "Usage,NF\nTraining\n"])
def test_a_file_without_votes_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fer2013new.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"fer2013new\.csv, line 2: not a row of FER\+ votes"):
        read_votes(path)
