"""Losses and metrics on targets (n, 7), or (n, 14) where teachers' answers stand behind them."""

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


def loss_of(recipe: Recipe) -> keras.losses.Loss:
    """The loss that `recipe` minimises."""
    if recipe.teachers:
        return Distillation(recipe.teacher_temperature, recipe.taught)
    return keras.losses.CategoricalCrossentropy()


def accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Whether the likeliest class is that of the labels, 0 or 1 for each face."""
    right = ops.argmax(y_true[:, :CLASSES], axis=-1) == ops.argmax(y_pred, axis=-1)
    return ops.cast(right, "float32")


def truth(y: NDArray[np.int64], recipe: Recipe) -> NDArray[np.float32]:
    """Labels `y` (n,) as the targets of a perfect teacher: (n, 7), or (n, 14) for a student."""
    rows = np.eye(CLASSES, dtype=np.float32)[y]
    return np.hstack([rows, rows]) if recipe.teachers else rows


def soften(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Rows (n, 7) of probabilities brought to `temperature`; above 1 they are more alike."""
    powers = np.clip(probabilities, SMALLEST, 1.0) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)
