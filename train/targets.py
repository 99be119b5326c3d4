"""Builds what a network is trained on: faces, target distributions and weights."""

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

    The parts of the targets are, one beside the other, the labels, the shares of FER+'s votes
    where the recipe has a head for them, and the teachers' answers to each head where it has
    teachers.
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
    """The selected faces with their targets and weights.

    `votes` are FER+'s on all rows of the Training split; needed where the recipe has a votes head.
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
    """The same columns as a TrainingSet's, for faces with labels `y` (n,).

    `shares` (n, classes) are those of FER+'s votes; without them the labels are used instead. So
    they are for the answers of teachers, who are not asked about these faces.
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
    """Probabilities (n, classes) of the labels, as the voters' answers to a face predict them.

    Each voter predicts what the faces with that answer are labeled on the whole: `y` (n,) are
    their labels, `shares` (n, classes) those of the votes. A face without votes has no prediction:
    all classes alike.
    """
    classes = shares.shape[1]
    counts = shares.T @ np.eye(classes, dtype=np.float32)[y]
    answers = shares @ (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-6))
    silent = shares.sum(axis=1, keepdims=True) == 0
    return np.asarray(np.where(silent, 1 / classes, answers), dtype=np.float32)


def class_weights(y: ClassIds, balance: float) -> NDArray[np.float32]:
    """A weight (n,) for each face, of mean 1: its class's share of `y` to the power -`balance`.

    0 gives all faces the same weight, 1 all classes.
    """
    weights: NDArray[np.float64] = np.bincount(y)[y].astype(np.float64) ** -balance
    return np.asarray(weights / weights.mean(), dtype=np.float32)
