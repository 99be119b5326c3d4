"""Losses and metrics on targets (n, 7); FER+'s votes (n, 7), then teachers' answers may follow."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from train.dataset import LABELS
from train.recipe import Recipe

CLASSES = len(LABELS)
SMALLEST = 1e-7  # probability whose logarithm is still taken

Tensor = Any  # a tensor of whichever backend Keras runs on


class Distillation(keras.losses.Loss):  # type: ignore[misc]
    """(1 - share) of the labels' cross-entropy, and share of the teachers' times temperature².

    The teachers' probabilities are at `temperature` already; the network's are brought to it by
    their logarithms, which are its logits but for a constant (Hinton et al., arXiv:1503.02531).
    """

    def __init__(self, temperature: float, share: float) -> None:
        super().__init__(name="distillation")
        self._temperature, self._share = temperature, share

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        labels, teachers = y_true[:, :CLASSES], y_true[:, CLASSES:]
        logits = ops.log(ops.clip(y_pred, SMALLEST, 1.0))
        softened = ops.log_softmax(logits / self._temperature, axis=-1)
        by_labels = -ops.sum(labels * logits, axis=-1)
        by_teachers = -ops.sum(teachers * softened, axis=-1) * self._temperature**2
        return (1 - self._share) * by_labels + self._share * by_teachers


class WithVotes(keras.losses.Loss):  # type: ignore[misc]
    """(1 - share) of the loss `of_labels`, and share of the second head's cross-entropy to votes.

    The second head's probabilities are columns 7 to 13 of what is predicted, the votes those of
    the targets. A face without votes for any of the seven adds nothing.
    """

    def __init__(self, of_labels: keras.losses.Loss, share: float) -> None:
        super().__init__(name="with_votes")
        self._of_labels, self._share = of_labels, share

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        labels, votes, teachers = ops.split(y_true, (CLASSES, 2 * CLASSES), axis=-1)
        own, voted = ops.split(y_pred, 2, axis=-1)
        by_labels = self._of_labels.call(ops.concatenate([labels, teachers], axis=-1), own)
        by_votes = -ops.sum(votes * ops.log(ops.clip(voted, SMALLEST, 1.0)), axis=-1)
        return (1 - self._share) * by_labels + self._share * by_votes


def loss_of(recipe: Recipe) -> keras.losses.Loss:
    """The loss that `recipe` minimizes."""
    of_labels = (
        Distillation(recipe.teacher_temperature, recipe.taught)
        if recipe.teachers
        else keras.losses.CategoricalCrossentropy()
    )
    return WithVotes(of_labels, recipe.votes_head) if recipe.votes_head else of_labels


def accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Whether the likeliest class is that of the labels, 0 or 1 for each face."""
    right = ops.argmax(y_true[:, :CLASSES], axis=-1) == ops.argmax(y_pred[:, :CLASSES], axis=-1)
    return ops.cast(right, "float32")


def truth(y: NDArray[np.int64], recipe: Recipe) -> NDArray[np.float32]:
    """Labels `y` (n,) in all the columns of the targets, as if voters and teachers were sure."""
    rows = np.eye(CLASSES, dtype=np.float32)[y]
    return np.tile(rows, 1 + bool(recipe.votes_head) + bool(recipe.teachers))


def soften(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Rows (n, 7) of probabilities brought to `temperature`; above 1 they are more alike."""
    powers = np.clip(probabilities, SMALLEST, 1.0) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)
