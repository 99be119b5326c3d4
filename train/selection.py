"""Chooses the faces for training and for validation, without copies of one in the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from train.dataset import HELD_OUT, Split, stratified_split
from train.ferplus import Votes
from train.findings import Findings, find

# The part of Training that chooses the epoch if the dataset has no split for that. In a small
# dataset it is larger, so that there are faces of every class.
LEAST_HELD_OUT, MOST_HELD_OUT = 0.05, 0.2
HELD_OUT_PER_CLASS = 30
VALIDATION = ("PublicTest", "Validation")


@dataclass(frozen=True, slots=True)
class Selection:
    """The faces for training and validation; `summary` describes the choice in a line.

    `kept` are the indices in the Training split of the faces in `training`. `validation_votes` are
    FER+'s votes on the faces of `validation`, if available.
    """

    training: Split
    kept: NDArray[np.int64]
    validation: Split
    validation_votes: Votes | None
    summary: str

    def among(self, labels: tuple[str, ...]) -> Selection:
        """Return the same faces for only the classes `labels`, the first ones."""
        votes = self.validation_votes
        return replace(
            self,
            training=replace(self.training, labels=labels),
            validation=replace(self.validation, labels=labels),
            validation_votes=votes.among(len(labels)) if votes else None,
        )


def select(splits: dict[str, Split], votes: dict[str, Votes], seed: int) -> Selection:
    """Choose the faces; drop non-faces and exact or near copies of other splits from Training.

    The validation split chooses the epoch and the temperature. It is PublicTest or Validation, or a
    stratified part of Training if there is neither; it is never a test split.
    """
    whole = splits["Training"]
    rest = np.arange(len(whole.y))
    if name := next((each for each in VALIDATION if each in splits), ""):
        validation, held_votes = splits[name], votes.get(name)
    else:
        rest, held_out = hold_out(whole, seed)
        validation = replace(whole.take(held_out), name=HELD_OUT)
        held_votes = votes["Training"].take(held_out) if "Training" in votes else None
    found = find(splits, votes)
    copies = _copies(found, rest)
    faceless = np.isin(rest, found.no_faces)  # Training comes first among all images
    kept = rest[~(copies | faceless)]
    training = whole.take(kept)
    summary = (
        f"training on {len(kept)} faces, {len(validation.y)} of {validation.name} choose the "
        f"epoch; left out {int(copies.sum())} copies of faces held out (exact or near) and "
        f"{int((faceless & ~copies).sum())} pictures without a face"
    )
    return Selection(training, kept, validation, held_votes, summary)


def hold_out(training: Split, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of `training` to train on, and those of every class that choose the epoch."""
    wanted = HELD_OUT_PER_CLASS * len(training.labels) / len(training.y)
    fraction = min(max(wanted, LEAST_HELD_OUT), MOST_HELD_OUT)
    return stratified_split(training.y, fraction, seed)


def _copies(found: Findings, rest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the mask of `rest`, indices in the first split, that have a copy outside `rest`."""
    held_out = np.ones(len(found.x), dtype=bool)
    held_out[rest] = False
    repeated = np.zeros(len(found.x), dtype=bool)
    for one, other, _ in found.near:
        repeated[one] |= held_out[other]
        repeated[other] |= held_out[one]
    return repeated[rest]
