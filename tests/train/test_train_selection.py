"""Tests the selection of training pictures: made-up splits with known copies and blanks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from train.dataset import Split, duplicates_of
from train.duplicates import near_pairs
from train.ferplus import Votes, read_votes
from train.selection import Selection, select

PER_CLASS = 40


def blobs(n: int, seed: int) -> NDArray[np.uint8]:
    """Smooth random pictures (n, 48, 48, 1), each unlike the others."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 1), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def nearly(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pictures again, flatter and with noise, as another JPEG would have them."""
    noise = np.random.default_rng(9).normal(0, 5, x.shape)
    return np.clip(x * 0.8 + 10 + noise, 0, 255).astype(np.uint8)


def split(name: str, x: NDArray[np.uint8]) -> Split:
    return Split(name, x, np.arange(len(x)) % 7)


def dataset(*tests: str) -> dict[str, Split]:
    """Of each test's 21 pictures, 0 and 1 are exactly in Training, 2 and 3 nearly.

    Training 0 to 3 are those of the first test, 4 to 7 those of the second; 8 is blank; 10
    to 19 are 20 to 29 again, which no other split has.
    """
    training = blobs(7 * PER_CLASS, 1)
    splits = {name: split(name, blobs(21, 2 + i)) for i, name in enumerate(tests)}
    for i, test in enumerate(splits.values()):
        training[4 * i : 4 * i + 2] = test.x[:2]
        training[4 * i + 2 : 4 * i + 4] = nearly(test.x[2:4])
    training[8] = 128
    training[10:20] = training[20:30]
    return {"Training": split("Training", training), **splits}


def no_copies_remain(splits: dict[str, Split], chosen: Selection) -> None:
    held_out = [s for name, s in splits.items() if name != "Training"] + [chosen.validation]
    others = np.concatenate([s.x for s in held_out])
    assert not duplicates_of(chosen.training.x, others).any()
    n = len(chosen.training.x)
    pairs = near_pairs(np.concatenate([chosen.training.x, others]))
    assert not [pair for pair in pairs if pair.first < n <= pair.second]


def test_copies_of_every_other_split_and_blanks_leave_training() -> None:
    splits = dataset("PublicTest", "PrivateTest")
    chosen = select(splits, {}, seed=1)
    assert chosen.kept.tolist() == list(range(9, 7 * PER_CLASS))
    np.testing.assert_array_equal(chosen.training.x, splits["Training"].x[9:])
    np.testing.assert_array_equal(chosen.training.y, splits["Training"].y[9:])
    no_copies_remain(splits, chosen)


def test_the_summary_counts_what_was_left_out() -> None:
    summary = select(dataset("PublicTest", "PrivateTest"), {}, seed=1).summary
    assert summary == (
        "training on 271 faces, 21 of PublicTest choose the epoch; left out 8 copies of faces "
        "held out (exact or near) and 1 pictures without a face"
    )


def test_faces_that_half_of_the_voters_did_not_see_leave_training() -> None:
    splits = dataset("PublicTest")
    y = splits["Training"].y
    unseen = np.zeros(len(y), np.int64)
    unseen[[0, 20, 30]] = 5, 5, 4
    others = np.zeros((len(y), 3), np.int64)
    others[:, 2] = unseen
    votes = {"Training": Votes(5 * np.eye(7, dtype=np.int64)[y], others)}
    kept = set(select(splits, votes, seed=1).kept.tolist())
    assert set(range(len(y))) - kept == {0, 1, 2, 3, 8, 20}


def test_public_test_chooses_the_epoch() -> None:
    splits = dataset("PrivateTest", "PublicTest")
    assert select(splits, {}, seed=1).validation is splits["PublicTest"]


@pytest.mark.parametrize("exam", ["PrivateTest", "PublicTest+PrivateTest"])
def test_a_test_split_never_chooses_the_epoch(exam: str) -> None:
    """A part of Training does; a picture and its copy are never in both parts."""
    splits = dataset(exam)
    parted = 0
    for seed in range(1, 4):
        chosen = select(splits, {}, seed)
        assert chosen.validation.name == "HeldOut"
        assert chosen.validation.counts == (PER_CLASS // 5,) * 7
        assert not {0, 1, 2, 3, 8} & set(chosen.kept.tolist())
        no_copies_remain(splits, chosen)
        parted += duplicates_of(splits["Training"].x[10:20], chosen.validation.x).sum()
    assert parted, "no seed held out a twin"


def test_the_held_out_part_depends_on_the_seed() -> None:
    splits = dataset()
    one, again, other = (select(splits, {}, seed).validation.x for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_of_fer2013_no_copy_is_trained_on(fer2013: dict[str, Split], fer2013_dir: Path) -> None:
    """With FER+'s votes, on a few rows and all that are exact copies of a few of PublicTest."""
    voted = read_votes(fer2013_dir / "fer2013new.csv")["Training"]
    training, test = fer2013["Training"], fer2013["PublicTest"].take(np.arange(800))
    leaked = np.flatnonzero(duplicates_of(training.x, test.x))
    rows = np.union1d(leaked, np.arange(0, len(training.y), 30))
    some = {"Training": training.take(rows), "PublicTest": test}
    chosen = select(some, {"Training": voted.take(rows)}, seed=1)
    assert chosen.validation is test
    assert not set(leaked.tolist()) & set(rows[chosen.kept].tolist())
    no_copies_remain(some, chosen)
    assert 0 <= len(rows) - len(chosen.kept) - len(leaked) < 60
