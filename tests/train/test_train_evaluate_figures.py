"""Compares the figures of `evaluate` with cases of known truth: scores, calibration, votes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
keras = pytest.importorskip("keras", reason="the train extra is not installed")

# ruff: noqa: E402  # these import Keras
from train.architectures import ARCHITECTURES
from train.calibration import (
    apply_temperature,
    at_temperature,
    expected_error,
    fit_temperature,
    measure_calibration,
    reliability,
)
from train.dataset import FER2013, LABELS, Split
from train.errors import TrainError
from train.ferplus import Votes, read_votes
from train.label_sets import FERPLUS, LabelSet, label_sets, measure_votes
from train.robustness import CORRUPTIONS, measure_robustness, occlude, rotate, shift
from train.scores import accuracy_by_coverage, answers_by_score, score, wilson_interval

# Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def faces(n: int, seed: int = 1) -> NDArray[np.uint8]:
    """Random pictures (n, 48, 48, 1), smooth and detailed as natural ones are."""
    steps = np.random.default_rng(seed).normal(size=(n, 48, 48, 1))
    walked = steps.cumsum(axis=1).cumsum(axis=2)
    low, high = (f(walked, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    return np.asarray(20 + 215 * (walked - low) / (high - low), np.uint8)


# --- scores ---


def test_scores_of_a_case_worked_by_hand() -> None:
    scored = score(np.array([0, 0, 0, 3, 3, 6]), np.array([0, 0, 3, 3, 3, 0]), LABELS)
    assert scored["accuracy"] == pytest.approx(4 / 6)
    assert scored["classes"]["angry"] == pytest.approx(
        {"faces": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3}
    )
    assert scored["classes"]["happy"]["f1"] == pytest.approx(0.8)
    assert scored["classes"]["neutral"] == {"faces": 1, "precision": 0, "recall": 0, "f1": 0}
    assert scored["macro_f1"] == pytest.approx((2 / 3 + 0.8) / 3)
    assert scored["mean_recall"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert scored["confusion"][0] == [2, 0, 0, 1, 0, 0, 0]


def test_wilsons_interval_is_the_published_one() -> None:
    """Newcombe, 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


# --- calibration ---


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_temperature_of_an_overdone_network_is_found(truth: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, (20_000, 7))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # drawn from the softmax
    overdone = softmax(logits * truth).astype(np.float32)
    assert fit_temperature(overdone, np.eye(7, dtype=np.float32)[labels]) == pytest.approx(
        truth, rel=0.03
    )
    before = measure_calibration(overdone, labels)
    after = measure_calibration(at_temperature(overdone, truth), labels)
    assert after["ece"] < 0.01
    assert before["best_temperature"] == pytest.approx(truth, rel=0.03)
    assert after["best_temperature"] == pytest.approx(1, rel=0.03)
    if truth != 1:
        assert before["ece"] > 5 * after["ece"]
        assert before["nll"] > after["nll"]


def test_the_temperature_for_votes_makes_scores_the_shares_of_the_voters() -> None:
    rng = np.random.default_rng(4)
    shares = softmax(rng.normal(0, 1.5, (20_000, 7))).astype(np.float32)
    overdone = at_temperature(shares, 0.5)
    assert fit_temperature(overdone, shares) == pytest.approx(2, rel=0.01)
    labels = shares.argmax(axis=1)
    found = measure_calibration(at_temperature(overdone, 2.0), labels, shares)
    assert found["ece_votes"] < 0.001
    assert found["ece"] > 0.3  # it is always right, and never sure


def test_a_certain_and_always_right_network_has_a_temperature_too() -> None:
    certain = np.eye(7, dtype=np.float32)
    assert fit_temperature(certain, certain) == pytest.approx(0.05)
    assert fit_temperature(certain, np.roll(certain, 1, axis=0)) == pytest.approx(20)


def test_the_calibration_error_worked_by_hand() -> None:
    answers = np.full((4, 7), 0.2 / 6, np.float32)
    answers[:, 2] = 0.8  # all four claim 80 %, three are right
    bins = reliability(answers, np.array([1.0, 1, 1, 0]))
    assert expected_error(bins) == pytest.approx(0.05, abs=1e-6)
    (filled,) = (each for each in bins if each.faces)
    assert (filled.faces, filled.accuracy) == (4, 0.75)
    assert filled.low <= 0.8 < filled.high


@pytest.mark.parametrize("architecture", ["compact", "seed"])
def test_a_temperature_goes_into_the_weights(architecture: str) -> None:
    keras.utils.set_random_seed(3)
    network = ARCHITECTURES[architecture]()
    for layer in network.layers:  # a bias that a temperature has to reach, too
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(np.linspace(-1, 1, layer.bias.shape[0]))
    x, names = faces(16).astype(np.float32), [layer.name for layer in network.layers]
    before = network.predict(x, verbose=0)
    apply_temperature(network, 2.5)
    after = network.predict(x, verbose=0)
    np.testing.assert_allclose(after, softmax(np.log(before) / 2.5), atol=1e-5)
    assert np.array_equal(after.argmax(axis=1), before.argmax(axis=1))
    assert after.max() < before.max()
    assert [layer.name for layer in network.layers] == names


@pytest.mark.parametrize("end", ["sigmoid", "relu"])
def test_a_network_without_logits_at_its_end_is_refused(end: str) -> None:
    layers = keras.layers
    network = keras.Sequential([keras.Input((48, 48, 1)), layers.Flatten(), layers.Dense(7, end)])
    weights = network.get_weights()
    with pytest.raises(TrainError, match="does not give logits"):
        apply_temperature(network, 2.0)
    assert all(np.array_equal(a, b) for a, b in zip(weights, network.get_weights(), strict=True))


# --- coverage ---


def test_accuracy_by_coverage_worked_by_hand() -> None:
    answers = np.full((10, 7), 0.01, np.float32)
    answers[np.arange(10), 0] = np.linspace(0.95, 0.5, 10)
    true = np.array([0, 0, 0, 0, 1, 0, 1, 1, 0, 1])
    rows = accuracy_by_coverage(answers, true)
    assert [each["coverage"] for each in rows] == [1, 0.9, 0.8, 0.7, 0.6, 0.5]
    found = [each["accuracy"] for each in rows]
    assert found == pytest.approx([0.6, 6 / 9, 5 / 8, 5 / 7, 5 / 6, 4 / 5])
    assert rows[-1]["score"] == pytest.approx(0.75)


def test_answers_by_lowest_score_worked_by_hand() -> None:
    answers = np.full((5, 7), 0.01, np.float32)
    answers[[0, 1, 2], 3] = 0.9, 0.65, 0.45
    answers[[3, 4], 1] = 0.5, 0.3
    found = answers_by_score(answers, np.array([3, 6, 3, 1, 1]), LABELS)
    assert list(found) == list(LABELS)
    assert [each["score"] for each in found["happy"]] == [0, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert [each["named"] for each in found["happy"]] == [3, 3, 2, 2, 1, 1]
    assert [each["right"] for each in found["happy"]] == [2, 2, 1, 1, 1, 1]
    assert [each["named"] for each in found["disgust"]] == [2, 1, 1, 0, 0, 0]
    assert not any(each["named"] for each in found["fear"])


# --- FER+ ---


def test_the_sets_of_labels_and_the_votes_worked_by_hand() -> None:
    votes = np.zeros((6, 7), np.int64)
    votes[0, 0] = 10  # angry
    votes[1, [3, 6]] = 6, 4  # happy
    votes[2, [4, 6]] = 5, 5  # undecided
    votes[3, 5] = 4  # six of the ten saw none of ours
    votes[4, [2, 5]] = 9, 1  # fear; a single vote is dropped
    votes[5, 5] = 10
    others = np.zeros((6, 3), np.int64)
    others[3, 1] = 6
    split = Split("PublicTest", faces(6), np.array([0, 3, 4, 5, 5, 5]))
    answers = np.full((6, 7), 0.05, np.float32)
    answers[np.arange(6), [0, 6, 4, 5, 5, 5]] = 0.7
    sets = label_sets(split, Votes(votes, others))
    assert sets[FER2013].rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert sets[FERPLUS].rows.tolist() == [0, 1, 4, 5]
    assert sets[FERPLUS].y.tolist() == [0, 3, 2, 5]
    found = measure_votes(answers, split, sets[FERPLUS])
    assert found["without_majority"] == 2
    assert found["fer2013_agrees"] == pytest.approx(3 / 4)
    assert found["for_prediction"] == pytest.approx((1 + 0.4 + 0 + 1) / 4)
    assert found["for_fer2013"] == pytest.approx((1 + 0.6 + 0 + 1) / 4)
    assert found["for_majority"] == pytest.approx((1 + 0.6 + 1 + 1) / 4)
    entropy = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4)) / 4
    assert found["entropy"] == pytest.approx(entropy, rel=1e-4)
    expected = -(2 * np.log(0.7) + 0.6 * np.log(0.05) + 0.4 * np.log(0.7) + np.log(0.05)) / 4
    assert found["cross_entropy"] == pytest.approx(expected, rel=1e-4)


def test_votes_on_other_rows_are_not_used() -> None:
    split = Split("PublicTest", faces(14), np.arange(14) % 7)
    votes = Votes(10 * np.eye(7, dtype=np.int64)[split.y], np.zeros((14, 3), np.int64))
    assert FERPLUS in label_sets(split, votes)
    assert FERPLUS not in label_sets(split, votes.take(np.arange(13)))
    assert FERPLUS not in label_sets(split, votes.take(np.roll(np.arange(14), 1)))
    assert FERPLUS not in label_sets(split, None)


def test_of_publictest_nine_faces_in_ten_have_a_majority(fer2013_dir: Path) -> None:
    majority = read_votes(fer2013_dir / "fer2013new.csv")["PublicTest"].majority()
    assert np.bincount(majority[majority >= 0]).tolist() == [
        287, 24, 62, 865, 351, 415, 1182
    ]  # fmt: skip


# --- corruptions ---


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_a_pure_function_that_grows_with_its_level(name: str) -> None:
    apply, levels, _ = CORRUPTIONS[name]
    x = faces(40)
    kept, harm = x.copy(), []
    for level in levels:
        corrupted = apply(x, level)
        assert corrupted.shape == x.shape
        assert corrupted.dtype == np.uint8
        assert np.array_equal(corrupted, apply(x, level))
        harm.append(np.abs(corrupted.astype(float) - x).mean())
    assert np.array_equal(x, kept)
    assert 0 < harm[0] < harm[1] < harm[2]


@pytest.mark.parametrize("name", ["gaussian blur", "motion blur", "down and up again", "shift"])
def test_geometric_corruptions_keep_a_uniform_picture(name: str) -> None:
    flat = np.full((3, 48, 48, 1), 77, np.uint8)
    assert np.array_equal(CORRUPTIONS[name].apply(flat, CORRUPTIONS[name].levels[2]), flat)


def test_rotation_and_shift_move_faces_as_specified() -> None:
    x = faces(64)
    assert np.array_equal(rotate(x, 0), x)
    moved = shift(x, 4)
    for before, after in zip(x, moved, strict=True):
        inner = before[8:40, 8:40]
        places = [(dy, dx) for dy in (-4, 0, 4) for dx in (-4, 0, 4)]
        there = [np.array_equal(after[8 - y : 40 - y, 8 - x : 40 - x], inner) for y, x in places]
        assert there.count(True) == 1
        assert not there[4]  # nowhere is no shift


def test_occlusion_hides_half_a_face_with_one_gray() -> None:
    for face in occlude(np.random.default_rng(1).integers(0, 256, (32, 48, 48, 1), np.uint8), 0.5):
        halves = (face[:24], face[24:], face[:, :24], face[:, 24:])
        assert sum(half.min() == half.max() for half in halves) == 1


def test_robustness_is_measured_on_the_corrupted_faces() -> None:
    """A classifier by brightness fails in low light and under what changes a uniform gray."""
    y = np.arange(70) % 7
    x = np.broadcast_to((20 + 30 * y)[:, None, None, None], (70, 48, 48, 1)).astype(np.uint8)

    def classify(x: NDArray[np.uint8]) -> NDArray[np.float32]:
        nearest = np.rint((np.median(x, axis=(1, 2, 3)) - 20) / 30).clip(0, 6).astype(int)
        return np.asarray(np.eye(7)[nearest], np.float32)

    few = np.arange(7)
    sets = {"all": LabelSet(np.arange(70), y), "few": LabelSet(few, (y[few] + 1) % 7)}
    found = measure_robustness(classify, x, sets)
    by_name = {name: each["accuracy"]["all"] for name, each in found["corruptions"].items()}
    assert found["corruptions"]["shift"]["accuracy"]["few"] == [0, 0, 0]
    assert by_name["gaussian blur"] == by_name["shift"] == by_name["JPEG"] == [1, 1, 1]
    assert max(by_name["low light"]) < 0.6
    assert found["mean_accuracy"]["all"] == pytest.approx(np.mean(list(by_name.values())))
