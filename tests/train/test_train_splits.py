"""Tests the splits of a dataset: made, recognized as FER2013's, and free of duplicates."""

from __future__ import annotations

import numpy as np
import pytest
from support.dataset_forms import (
    USAGES,
    pictures,
)

from train.dataset import (
    OFFICIAL_COUNTS,
    Split,
    describe,
    duplicates_of,
    first_of_each_class,
    stratified_split,
)


def test_a_stratified_split_takes_its_share_of_every_class() -> None:
    y = np.repeat(np.arange(7), [100, 20, 40, 60, 80, 200, 3])
    np.random.default_rng(0).shuffle(y)
    rest, held_out = stratified_split(y, 0.1, seed=1)
    assert np.bincount(y[held_out]).tolist() == [10, 2, 4, 6, 8, 20, 1]
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, held_out])), np.arange(len(y)))


def test_a_stratified_split_depends_on_its_seed() -> None:
    y = np.arange(700) % 7
    _, one = stratified_split(y, 0.1, seed=1)
    _, again = stratified_split(y, 0.1, seed=1)
    _, other = stratified_split(y, 0.1, seed=2)
    np.testing.assert_array_equal(one, again)
    assert set(one.tolist()) != set(other.tolist())


def test_a_trial_takes_the_first_faces_of_every_class() -> None:
    y = np.array([2, 0, 2, 2, 1, 0, 0, 2])
    assert first_of_each_class(y, 2).tolist() == [0, 1, 2, 4, 5]
    assert first_of_each_class(y, 9).tolist() == list(range(8))


def test_duplicates_are_equal_in_every_pixel() -> None:
    x = pictures(5)
    almost = x[3].copy()
    almost[0, 0, 0] ^= 1
    others = np.stack([x[1], almost, x[4], x[4]])
    assert duplicates_of(x, others).tolist() == [False, True, False, False, True]


def test_the_official_test_splits_are_recognized(fer2013: dict[str, Split]) -> None:
    """The copy may lack PrivateTest, as the challenge's first download did."""
    assert {"Training", "PublicTest"} <= set(fer2013) <= set(USAGES)
    for name in set(fer2013) - {"Training"}:
        assert fer2013[name].counts == OFFICIAL_COUNTS[name]
        assert describe(fer2013[name]).endswith(": the official FER2013 " + name)


def test_a_missing_face_is_reported(fer2013: dict[str, Split]) -> None:
    """The usual copy lacks one Surprise of Training; a complete one loses it here."""
    training = fer2013["Training"]
    if training.counts == OFFICIAL_COUNTS["Training"]:
        assert describe(training).endswith(": the official FER2013 Training")
        training = training.take(np.delete(np.arange(28709), (training.y == 5).argmax()))
    said = describe(training)
    assert said.startswith("Training: 28708 faces (angry 3995, ")
    assert said.endswith(
        ": differs from the official FER2013 Training (28709): surprise 3170 instead of 3171"
    )


@pytest.mark.parametrize("name", OFFICIAL_COUNTS)
def test_official_counts_alone_are_recognized(name: str) -> None:
    """The test/ of class folders is both official tests together."""
    y = np.repeat(np.arange(7), OFFICIAL_COUNTS[name])
    split = Split("PublicTest", np.zeros((len(y), 1), np.uint8), y)
    assert describe(split).endswith(f": the official FER2013 {name}")


def test_another_dataset_is_not_taken_for_fer2013() -> None:
    said = describe(Split("Training", pictures(14), np.arange(14) % 7))
    assert said.startswith("Training: 14 faces (angry 2, ")
    assert said.endswith("none of the official FER2013 splits")


def test_the_known_leak_is_found(fer2013: dict[str, Split]) -> None:
    """About 8 % of each evaluation split is also in Training."""
    leaked = duplicates_of(fer2013["PublicTest"].x, fer2013["Training"].x).mean()
    assert 0.05 < leaked < 0.12
