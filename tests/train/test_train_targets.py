"""Tests the training targets of both heads, and FER+'s rules for votes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from train.dataset import Split
from train.ferplus import Votes, vote_shares
from train.recipe import SGD_RECIPE
from train.selection import Selection
from train.targets import labels_by_votes, make_training_set, smooth, validation_targets

CLASSES = 7
ONE_HEAD = replace(SGD_RECIPE, votes_head=0.0)


def votes_of(*rows: dict[str, int]) -> Votes:
    """Votes on a face each, by the columns of `fer2013new.csv`."""
    names = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    others = ("contempt", "unknown", "NF")
    return Votes(
        np.array([[row.get(name, 0) for name in names] for row in rows]),
        np.array([[row.get(name, 0) for name in others] for row in rows]),
    )


VOTES = votes_of(
    {"happiness": 9, "neutral": 1},  # a single vote is dropped
    {"anger": 5, "sadness": 5},  # no class has more than half
    {"fear": 3, "unknown": 6, "sadness": 1},  # most saw none of the seven
    {"surprise": 4, "NF": 3, "contempt": 2, "unknown": 1},  # first, but not more than half
    {"neutral": 6, "contempt": 4},
    dict.fromkeys(("anger", "disgust", "fear", "sadness", "NF"), 1),  # all single
)


def test_votes_are_counted_by_the_papers_protocol() -> None:
    counted = VOTES.counted()
    assert counted[0].tolist() == [0, 0, 0, 9, 0, 0, 0]
    assert counted[1].tolist() == [5, 0, 0, 0, 5, 0, 0]
    assert counted[2].tolist() == [0] * CLASSES
    assert counted[3].tolist() == [0, 0, 0, 0, 0, 4, 0]
    assert counted[5].tolist() == [0] * CLASSES
    assert VOTES.majority().tolist() == [3, -1, -1, -1, 6, -1]


def test_shares_of_the_votes_sum_to_one_where_there_are_any() -> None:
    shares = vote_shares(VOTES.counted())
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(axis=1), [1, 1, 0, 1, 1, 0])
    assert shares[1, 0] == 0.5


def test_smoothing_spreads_its_share_over_all_classes() -> None:
    (row,) = smooth(np.array([2]), CLASSES, 0.14)
    np.testing.assert_allclose(row, [0.02, 0.02, 0.88, 0.02, 0.02, 0.02, 0.02], rtol=1e-5)
    np.testing.assert_array_equal(smooth(np.array([3, 0]), CLASSES, 0), np.eye(CLASSES)[[3, 0]])


def test_a_training_set_has_the_selected_rows_of_labels_and_votes() -> None:
    y = np.array([3, 0, 2, 5, 6, 1])
    x = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 48, 48, 1), np.uint8)
    kept = np.array([0, 3, 4])
    whole = Split("Training", x, y)
    selection = Selection(whole.take(kept), kept, whole, None, "")
    both = make_training_set(selection, VOTES, SGD_RECIPE)
    assert both.x[:, 0, 0, 0].tolist() == kept.tolist()
    assert both.targets.shape == (3, 2 * CLASSES)
    np.testing.assert_allclose(both.targets[:, :CLASSES], smooth(y[kept], CLASSES, 0.1))
    np.testing.assert_allclose(both.targets[:, CLASSES:], vote_shares(VOTES.counted())[kept])
    assert make_training_set(selection, None, ONE_HEAD).targets.shape == (3, CLASSES)
    with pytest.raises(ValueError, match="needs votes"):
        make_training_set(selection, None, SGD_RECIPE)


def test_validation_targets_have_the_same_columns() -> None:
    y = np.array([3, 0])
    shares = vote_shares(VOTES.counted())[:2]
    student = replace(SGD_RECIPE, teachers=2)
    for recipe, parts in ((ONE_HEAD, 1), (SGD_RECIPE, 2), (student, 4)):
        targets = validation_targets(y, CLASSES, shares, recipe)
        assert targets.shape == (2, parts * CLASSES)
        np.testing.assert_array_equal(targets[:, :CLASSES], np.eye(CLASSES)[y])
    np.testing.assert_array_equal(
        validation_targets(y, CLASSES, shares, SGD_RECIPE)[:, CLASSES:], shares
    )


def test_votes_predict_the_label_that_such_faces_have() -> None:
    """Voters see fear in faces labeled 2 and 5; without votes nothing is known."""
    shares = np.zeros((5, CLASSES), np.float32)
    shares[[0, 1, 2], 2] = 1
    shares[3, [2, 6]] = 0.5
    answers = labels_by_votes(np.array([2, 5, 5, 6, 0]), shares)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(answers[4], 1 / CLASSES)
    assert answers[0].argmax() == 5
    assert answers[0, 5] == pytest.approx(2 / 3.5)
    assert answers[3, 6] > answers[0, 6]
