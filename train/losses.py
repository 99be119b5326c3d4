"""Losses and metrics; the columns of targets are those of `train.targets.TrainingSet`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from train.recipe import Recipe

MIN_LOG = 1e-7  # smallest probability whose logarithm is taken
MAJORITY = 0.5

Tensor = Any  # a tensor of whichever backend Keras runs on


class HeadsLoss(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy of one or two heads, each to its targets and to its teachers' answers.

    A second head, for FER+'s votes, has the share `votes_head` of the loss; a face without counted
    votes adds nothing to it. With teachers, the share `teacher_share` of each head's loss is the
    cross-entropy to their softened answers, times the square of the temperature (Hinton et al.,
    arXiv:1503.02531).
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(name="heads")
        self._votes_head = recipe.votes_head
        self._teacher_share = recipe.teacher_share if recipe.teachers else 0.0
        self._temperature = recipe.teacher_temperature

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        heads = 2 if self._votes_head else 1
        answers = ops.split(ops.log(ops.clip(y_pred, MIN_LOG, 1.0)), heads, axis=-1)
        parts = ops.split(y_true, heads * (2 if self._teacher_share else 1), axis=-1)
        losses = [
            self._of_head(logs, parts[i], parts[heads + i] if self._teacher_share else None)
            for i, logs in enumerate(answers)
        ]
        if heads == 1:
            return losses[0]
        return (1 - self._votes_head) * losses[0] + self._votes_head * losses[1]

    def _of_head(self, logs: Tensor, targets: Tensor, teachers: Tensor | None) -> Tensor:
        by_targets = -ops.sum(targets * logs, axis=-1)
        if teachers is None:
            return by_targets
        softened = ops.log_softmax(logs / self._temperature, axis=-1)
        by_teachers = -ops.sum(teachers * softened, axis=-1) * self._temperature**2
        return (1 - self._teacher_share) * by_targets + self._teacher_share * by_teachers


class HeadAccuracy(keras.metrics.Metric):  # type: ignore[misc]
    """The share of faces for which head number `head` of networks for `classes` classes is right.

    The right class has more than half of the head's target distribution; faces without such a class
    are not counted.
    """

    def __init__(self, name: str, head: int, classes: int) -> None:
        super().__init__(name=name)
        self._columns = slice(head * classes, (head + 1) * classes)
        self._right = self.add_weight(name="right", initializer="zeros")
        self._faces = self.add_weight(name="faces", initializer="zeros")

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        targets, answers = y_true[:, self._columns], y_pred[:, self._columns]
        counts = ops.cast(ops.max(targets, axis=-1) > MAJORITY, "float32")
        if sample_weight is not None:
            counts = counts * ops.cast(sample_weight, "float32")
        right = ops.cast(ops.argmax(targets, axis=-1) == ops.argmax(answers, axis=-1), "float32")
        self._right.assign_add(ops.sum(right * counts))
        self._faces.assign_add(ops.sum(counts))

    def result(self) -> Tensor:
        return self._right / ops.maximum(self._faces, 1.0)


def metrics_of(recipe: Recipe) -> list[keras.metrics.Metric]:
    """Return `accuracy` for the labels and, with a votes head, `votes_accuracy` for FER+."""
    classes = len(recipe.labels)
    second = [HeadAccuracy("votes_accuracy", 1, classes)] if recipe.votes_head else []
    return [HeadAccuracy("accuracy", 0, classes), *second]


def soften(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return probabilities (n, classes) at `temperature`; above 1 they become more similar."""
    powers = np.clip(probabilities, MIN_LOG, 1.0) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)
