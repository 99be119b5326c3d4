"""Examines a dataset: class balance, copies, conflicting labels and pictures without a face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.dataset import Split
from train.duplicates import Pair, exact_groups, near_pairs
from train.ferplus import Votes, check_rows

FLAT_LEVELS = 4.0  # an image with a smaller standard deviation shows nothing


@dataclass(frozen=True, slots=True)
class Findings:
    """All splits concatenated, and the findings by index.

    `x` (n, 48, 48, 1), `y` (n,), and `split` (n,) the number of each image's split in `names`.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    split: NDArray[np.int64]
    exact: list[list[int]]
    near: list[Pair]
    no_faces: list[int]

    def place(self, index: int) -> str:
        """Return the split of an image and its row there, counted from 0."""
        number = int(self.split[index])
        row = index - int(np.flatnonzero(self.split == number)[0])
        return f"{self.names[number]} {row}"

    @property
    def conflicts(self) -> list[list[int]]:
        """Groups of exact copies whose labels differ."""
        return [group for group in self.exact if len(set(self.y[group].tolist())) > 1]

    def across(self, first: int, second: int) -> dict[str, int]:
        """Return how many images of split `first` are also in `second`, exactly and nearly."""
        exact = {
            i
            for group in self.exact
            for i in group
            if self.split[i] == first and any(self.split[j] == second and j != i for j in group)
        }
        near = {
            i
            for pair in self.near
            for i, j in ((pair.first, pair.second), (pair.second, pair.first))
            if self.split[i] == first and self.split[j] == second
        }
        return {"exact": len(exact), "exact_or_near": len(exact | near)}

    def summary(self) -> dict[str, Any]:
        """Return the counts, for JSON."""
        splits = {name: self._balance(number) for number, name in enumerate(self.names)}
        copies = {
            f"{one} in {other}": self.across(i, j)
            for i, one in enumerate(self.names)
            for j, other in enumerate(self.names)
        }
        return {
            "splits": splits,
            "copies": copies,
            "groups_of_exact_copies": len(self.exact),
            "groups_with_conflicting_labels": len(self.conflicts),
            "no_faces": len(self.no_faces),
        }

    def _balance(self, number: int) -> dict[str, Any]:
        counts = np.bincount(self.y[self.split == number], minlength=len(self.labels))
        return {
            "faces": int(counts.sum()),
            "classes": dict(zip(self.labels, counts.tolist(), strict=True)),
            "imbalance": round(float(counts.max() / max(counts.min(), 1)), 2),
        }


def find(splits: dict[str, Split], votes: dict[str, Votes]) -> Findings:
    """Examine `splits`, Training first; `votes` are FER+'s by split, as far as available.

    Raises DatasetError if the votes belong to other rows.
    """
    names = tuple(sorted(splits, key=lambda name: name != "Training"))
    parts = [splits[name] for name in names]
    x = np.concatenate([part.x for part in parts])
    numbers = np.repeat(np.arange(len(parts)), [len(part.y) for part in parts])
    flat = x.reshape(len(x), -1).std(axis=1) < FLAT_LEVELS
    voted_out = np.concatenate([_voted_out(splits[name], votes.get(name)) for name in names])
    return Findings(
        names=names,
        labels=parts[0].labels,
        x=x,
        y=np.concatenate([part.y for part in parts]),
        split=numbers,
        exact=exact_groups(x),
        near=near_pairs(x),
        no_faces=np.flatnonzero(flat | voted_out).tolist(),
    )


def _voted_out(split: Split, votes: Votes | None) -> NDArray[np.bool_]:
    """Return the mask of the images in which half of FER+'s voters saw no face."""
    if votes is None:
        return np.zeros(len(split.y), dtype=bool)
    check_rows(split.name, votes, split.y)
    return votes.no_face()
