"""Chooses what is trained on: all splits in; training and validation faces without leaks out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.dataset import Split, stratified_split
from train.ferplus import Votes
from train.findings import Findings, find

VALIDATION_FRACTION = 0.05  # of Training, where the dataset brings no PublicTest
VALIDATION = "PublicTest"


@dataclass(frozen=True, slots=True)
class Selection:
    """`kept` are the indices in the Training split of the faces in `training`."""

    training: Split
    kept: NDArray[np.int64]
    validation: Split
    said: str


def select(splits: dict[str, Split], votes: dict[str, Votes], seed: int) -> Selection:
    """Training without non-faces and without copies, exact or near, of any other split's faces.

    Validation chooses the epoch and the temperature: it is PublicTest, or a stratified part of
    Training where there is none; never PrivateTest, the exam.
    """
    whole = splits["Training"]
    rest = np.arange(len(whole.y))
    if VALIDATION in splits:
        validation = splits[VALIDATION]
    else:
        rest, held_out = stratified_split(whole.y, VALIDATION_FRACTION, seed)
        validation = whole.take(held_out)
    found = find(splits, votes)
    copies = _copies(found, rest)
    faceless = np.isin(rest, found.no_faces)  # Training comes first among all images
    kept = rest[~(copies | faceless)]
    training = whole.take(kept)
    said = (
        f"training on {len(kept)} faces, {len(validation.y)} of {validation.name} choose the "
        f"epoch; left out {int(copies.sum())} copies of faces held out (exact or near) and "
        f"{int((faceless & ~copies).sum())} pictures without a face"
    )
    return Selection(training, kept, validation, said)


def _copies(found: Findings, rest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask of those of `rest`, indices in the first split, of which a copy is outside `rest`."""
    held_out = np.ones(len(found.x), dtype=bool)
    held_out[rest] = False
    repeated = np.zeros(len(found.x), dtype=bool)
    for one, other, _ in found.near:
        repeated[one] |= held_out[other]
        repeated[other] |= held_out[one]
    return repeated[rest]
