"""Targets from labels and votes: what the rows are, and what a translation is good for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from train.targets import make_targets, translate

CLASSES = 7


def voted(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ten votes on each of `n` faces and a label that leans another way than the voters.

    The voters call half of the faces of label 4 (sad) neutral, and split their votes on label 2.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, n)
    seen = np.full((CLASSES, CLASSES), 0.03) + 0.79 * np.eye(CLASSES)
    seen[4] = [0.02, 0.02, 0.06, 0.02, 0.36, 0.02, 0.50]
    seen[2] = [0.10, 0.05, 0.35, 0.02, 0.06, 0.40, 0.02]
    seen /= seen.sum(axis=1, keepdims=True)
    votes = np.array([rng.multinomial(10, seen[label]) for label in y])
    return votes, y


@pytest.fixture(scope="module")
def rows() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return voted(250, 1)


def test_without_votes_or_smoothing_a_target_is_the_label() -> None:
    y = np.array([3, 0, 6])
    targets = make_targets(y, None, blend=0.0, smoothing=0.0)
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets, np.eye(CLASSES)[y])


def test_smoothing_spreads_its_share_over_all_classes() -> None:
    (row,) = make_targets(np.array([2]), None, blend=0.0, smoothing=0.14)
    np.testing.assert_allclose(row, [0.02, 0.02, 0.88, 0.02, 0.02, 0.02, 0.02], rtol=1e-5)


def test_a_blend_needs_votes() -> None:
    with pytest.raises(ValueError, match="needs votes"):
        make_targets(np.array([2]), None, blend=0.5, smoothing=0.0)


@pytest.mark.parametrize(("blend", "smoothing"), [(0.6, 0.1), (1.0, 0.0), (0.3, 0.5)])
def test_rows_are_probabilities(
    rows: tuple[NDArray[np.int64], NDArray[np.int64]], blend: float, smoothing: float
) -> None:
    votes, y = rows
    targets = make_targets(y, votes, blend=blend, smoothing=smoothing)
    assert targets.shape == (len(y), CLASSES)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)
    assert targets.min() >= 0
    label_share = targets[np.arange(len(y)), y]
    assert label_share.min() >= (1 - blend) * (1 - smoothing) - 1e-6


def test_the_blend_goes_evenly_from_the_label_to_the_translation(
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    votes, y = rows
    label, half, full = (
        make_targets(y, votes, blend=blend, smoothing=0.1) for blend in (0.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(half, (label + full) / 2, atol=1e-6)


def test_translated_votes_foretell_labels_better_than_their_majority() -> None:
    """On faces that the translation was not fitted on: their labels are unknown to it.

    They take part under labels drawn at random, which teach it nothing.
    """
    votes, y = voted(1600, 2)
    asked = np.arange(len(y)) % 8 == 0
    known = np.where(asked, np.random.default_rng(3).integers(0, CLASSES, len(y)), y)
    translated = translate(votes, known)[asked]
    right = (translated.argmax(axis=1) == y[asked]).mean()
    majority = (votes[asked].argmax(axis=1) == y[asked]).mean()
    assert right > majority + 0.05
    likely = translated[np.arange(asked.sum()), y[asked]]
    share = votes[asked] / votes[asked].sum(axis=1, keepdims=True)
    plain = share[np.arange(asked.sum()), y[asked]]
    assert np.log(likely).mean() > np.log(np.maximum(plain, 0.01)).mean()


def test_the_same_rows_give_the_same_translation() -> None:
    votes, y = voted(300, 4)
    np.testing.assert_array_equal(translate(votes, y), translate(votes, y))


def test_a_face_without_votes_gets_a_target_too() -> None:
    votes, y = voted(300, 5)
    votes[0] = 0
    row = translate(votes, y)[0]
    assert np.isfinite(row).all()
    assert row.sum() == pytest.approx(1)
