"""Builds the training set of a network: faces, target distributions and weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.ferplus import Votes, vote_shares
from train.recipe import Recipe
from train.scores import ClassIds, Faces
from train.selection import Selection


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Faces `x` (n, 48, 48, 1), `targets` (n, classes × parts) and `weights` (n,).

    The columns of the targets are the labels, then the shares of FER+'s votes if the recipe has a
    head for them, then the teachers' answers to each head if it has teachers.
    """

    x: Faces
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]

    def sha256(self) -> str:
        digest = hashlib.sha256(self.x.tobytes())
        digest.update(self.targets.tobytes())
        digest.update(self.weights.tobytes())
        return digest.hexdigest()


def make_training_set(selection: Selection, votes: Votes | None, recipe: Recipe) -> TrainingSet:
    """Return the selected faces with their targets and weights.

    `votes` are FER+'s on all rows of the Training split; a recipe with a votes head needs them.
    """
    training = selection.training
    targets = smooth(training.y, len(training.labels), recipe.label_smoothing)
    if recipe.votes_head:
        if votes is None:
            raise ValueError("a votes head needs votes")
        shares = vote_shares(votes.counted()[selection.kept])
        targets = np.hstack([targets, shares])
    return TrainingSet(training.x, targets, class_weights(training.y, recipe.balance))


def validation_targets(
    y: ClassIds, classes: int, shares: NDArray[np.float32] | None, recipe: Recipe
) -> NDArray[np.float32]:
    """Return targets with the columns of a TrainingSet, for faces with labels `y` (n,).

    `shares` (n, classes) are those of FER+'s votes; without them the labels are used instead. The
    labels also replace the teachers' answers, which do not exist for these faces.
    """
    labels = smooth(y, classes, 0.0)
    parts = [labels]
    if recipe.votes_head:
        parts.append(labels if shares is None else shares)
    if recipe.teachers:
        parts = [*parts, *parts]
    return np.hstack(parts)


def smooth(y: ClassIds, classes: int, smoothing: float) -> NDArray[np.float32]:
    """One-hot rows (n, classes) of `y`, with the share `smoothing` spread over all classes."""
    rows = (1 - smoothing) * np.eye(classes)[y] + smoothing / classes
    return np.asarray(rows, dtype=np.float32)


def labels_by_votes(y: ClassIds, shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities (n, classes) of the labels that the votes on a face predict.

    A vote for a class predicts the distribution of labels over all faces with votes for that class.
    `y` (n,) are the labels, `shares` (n, classes) the shares of the votes. For a face without votes
    all classes are equally probable.
    """
    classes = shares.shape[1]
    counts = shares.T @ np.eye(classes, dtype=np.float32)[y]
    answers = shares @ (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-6))
    silent = shares.sum(axis=1, keepdims=True) == 0
    return np.asarray(np.where(silent, 1 / classes, answers), dtype=np.float32)


def class_weights(y: ClassIds, balance: float) -> NDArray[np.float32]:
    """Return a weight (n,) for each face: its class's share of `y` to the power -`balance`.

    The mean weight is 1. A `balance` of 0 gives all faces the same weight, 1 all classes.
    """
    weights: NDArray[np.float64] = np.bincount(y)[y].astype(np.float64) ** -balance
    return np.asarray(weights / weights.mean(), dtype=np.float32)
