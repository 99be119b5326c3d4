"""Losses and metrics on made-up numbers, and the networks with two heads."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.drawn_faces import faces

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
keras = pytest.importorskip("keras", reason="the train extra is not installed")

# ruff: noqa: E402  # these import Keras
from train.dataset import Split
from train.fit import _padded, compiled
from train.losses import HeadAccuracy, HeadsLoss, soften
from train.networks import LABELS, VOTES, build, heads_in_float32
from train.recipe import SGD_RECIPE, Recipe
from train.targets import TrainingSet, smooth, validation_targets

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ONE_HEAD = replace(SGD_RECIPE, votes_head=0.0)
TEACHERS: dict[str, Any] = {
    "teachers": 2,
    "teacher_temperature": 3.0,
    "teacher_share": 0.7,
}


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def loss_of(recipe: Recipe, y_true: object, y_pred: object) -> float:
    return float(HeadsLoss(recipe)(np.asarray(y_true, np.float32), np.asarray(y_pred, np.float32)))


def test_the_loss_weighs_the_heads() -> None:
    rng = np.random.default_rng(1)
    own, voted = rng.dirichlet(np.ones(7), (2, 5))
    y, votes = np.eye(7)[rng.integers(0, 7, 5)], rng.dirichlet(np.ones(7), 5)
    votes[0] = 0  # nobody voted for one of the seven
    expected = -(0.6 * y * np.log(own) + 0.4 * votes * np.log(voted)).sum(axis=1).mean()
    found = loss_of(
        replace(SGD_RECIPE, votes_head=0.4), np.hstack([y, votes]), np.hstack([own, voted])
    )
    assert found == pytest.approx(expected, rel=1e-4)


def test_with_one_head_it_is_the_cross_entropy() -> None:
    answers = np.random.default_rng(1).dirichlet(np.ones(7), 5)
    y = np.eye(7)[[0, 1, 2, 3, 4]]
    assert loss_of(ONE_HEAD, y, answers) == pytest.approx(
        -(y * np.log(answers)).sum(axis=1).mean(), rel=1e-4
    )


def test_the_loss_of_a_student_is_that_of_hinton() -> None:
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(0, 2, (2, 5, 7))
    y = np.eye(7)[rng.integers(0, 7, 5)]
    targets = np.hstack([y, softmax(teacher / 3)])
    by_labels = -(y * np.log(softmax(student))).sum(axis=1)
    by_teachers = -(softmax(teacher / 3) * np.log(softmax(student / 3))).sum(axis=1)
    expected = (0.3 * by_labels + 0.7 * 9 * by_teachers).mean()
    one_head = replace(ONE_HEAD, **TEACHERS)
    assert loss_of(one_head, targets, softmax(student)) == pytest.approx(expected, rel=1e-4)


def test_each_head_of_a_student_has_its_teachers() -> None:
    rng = np.random.default_rng(2)
    own, voted, teach_own, teach_voted = rng.dirichlet(np.ones(7), (4, 5))
    y, votes = np.eye(7)[[0, 1, 2, 3, 4]], voted[::-1]
    one_head, two_heads = (replace(each, **TEACHERS) for each in (ONE_HEAD, SGD_RECIPE))
    expected = 0.5 * loss_of(one_head, np.hstack([y, teach_own]), own) + 0.5 * loss_of(
        one_head, np.hstack([votes, teach_voted]), voted
    )
    found = loss_of(
        two_heads, np.hstack([y, votes, teach_own, teach_voted]), np.hstack([own, voted])
    )
    assert found == pytest.approx(expected, rel=1e-4)


def test_softening_is_dividing_the_logits() -> None:
    logits = np.random.default_rng(2).normal(0, 2, (5, 7))
    softened = soften(softmax(logits).astype(np.float32), 4.0)
    np.testing.assert_allclose(softened, softmax(logits / 4), atol=1e-5)


def test_the_accuracy_of_a_head_counts_faces_with_a_majority() -> None:
    targets = np.zeros((4, 14), np.float32)
    targets[:, 3] = 1  # the label of all four
    targets[0, 7] = 1
    targets[1, 7:9] = 0.5  # undecided
    targets[3, 9] = 0.6
    answers = np.zeros((4, 14), np.float32)
    answers[:3, 3] = answers[3, 2] = 1
    answers[:, 7] = 1
    for head, expected in ((0, 3 / 4), (1, 1 / 2)):
        metric = HeadAccuracy("a", head, 7)
        metric.update_state(targets, answers)
        assert float(metric.result()) == pytest.approx(expected)
    weighted = HeadAccuracy("a", 0, 7)
    weighted.update_state(targets, answers, np.array([1, 1, 0, 1]))
    assert float(weighted.result()) == pytest.approx(2 / 3)


@pytest.mark.parametrize("n", [21, 256, 300])
def test_the_validation_loss_of_a_uniform_answer_is_the_log_of_the_classes(n: int) -> None:
    """Rows that fill up the last batch do not count."""
    y = np.arange(n) % 7
    validation = Split("PublicTest", np.zeros((n, 48, 48, 1), np.uint8), y)
    network = build(ONE_HEAD)
    for weight in network.weights[-2:]:
        weight.assign(np.zeros(weight.shape))
    model = compiled(network, ONE_HEAD, 1)
    x, targets, weights = _padded(validation, None, ONE_HEAD)
    assert len(x) % 256 == 0
    found = model.evaluate(x, targets, sample_weight=weights, batch_size=256, return_dict=True)
    assert found["loss"] == pytest.approx(np.log(7), rel=1e-5)
    assert found["accuracy"] == pytest.approx((y == 0).mean(), abs=1e-6)


def test_the_average_of_the_weights_follows_them_at_the_start() -> None:
    """min(0.998, (1 + n) / (10 + n)): after 30 steps it is not the random start."""
    training = TrainingSet(
        np.zeros((16, 48, 48, 1), np.uint8), smooth(np.zeros(16, int), 7, 0), np.ones(16, "f4")
    )
    network = build(ONE_HEAD)
    model = compiled(network, ONE_HEAD, 100)
    bias = network.weights[-1]
    seen = [np.asarray(bias)]
    for _ in range(30):
        model.train_on_batch(training.x, training.targets, training.weights)
        seen.append(np.asarray(bias))
    expected = seen[0]
    for n, value in enumerate(seen[1:], start=1):
        momentum = min(0.998, (1 + n) / (10 + n))
        expected = momentum * expected + (1 - momentum) * value
    model.optimizer.finalize_variable_values(model.trainable_variables)
    np.testing.assert_allclose(np.asarray(bias), expected, rtol=0.02)


@pytest.mark.parametrize("architecture", ["compact", "seed"])
def test_each_head_becomes_a_network_that_answers_alike(architecture: str) -> None:
    recipe = Recipe.of(architecture, votes_head=0.5)
    trained = build(recipe)
    x, _ = faces(4, 5)
    answers = np.asarray(trained.predict_on_batch(x[..., None]))
    assert answers.shape == (4, 14)
    np.testing.assert_allclose(answers.sum(axis=1), 2, rtol=1e-5)
    heads = heads_in_float32(trained, recipe)
    assert list(heads) == [LABELS, VOTES]
    for head, part in zip(heads.values(), np.split(answers, 2, axis=1), strict=True):
        np.testing.assert_allclose(head.predict_on_batch(x[..., None]), part, atol=1e-5)
    assert heads[LABELS].count_params() == heads[VOTES].count_params()


def test_a_network_with_one_head_keeps_one() -> None:
    network = build(ONE_HEAD)
    assert list(heads_in_float32(network, ONE_HEAD)) == [LABELS]
    assert validation_targets(np.arange(7), 7, None, ONE_HEAD).shape == (7, 7)


def test_a_network_can_have_another_number_of_classes() -> None:
    recipe = Recipe.of("compact", labels=("calm", "smile", "frown"), votes_head=0.0)
    x, _ = faces(4, 5)
    assert build(recipe).predict_on_batch(x[..., None]).shape == (4, 3)
