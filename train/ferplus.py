"""Reads FER+: the votes of ten people on each FER2013 picture (`fer2013new.csv`).

Barsoum et al., 2016, "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced
Label Distribution" (https://arxiv.org/abs/1608.01041). The rows are those of fer2013.csv, in the
same order.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.dataset import LABELS, VOTES_FILE
from train.errors import DatasetError

# The classes in the order of WITH_CONTEMPT, then "unknown" and "not a face".
COLUMNS = (
    "anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt",
    "unknown", "NF",
)  # fmt: skip
HALF_OF_VOTERS = 5
MIN_AGREEMENT = 0.4  # with FER2013's labels: about 0.65 if the rows match, 0.18 if they do not
ROWS_COMPARED = 1000


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes on one split.

    `votes` (n, classes) counts the votes for the classes, in the order of LABELS or WITH_CONTEMPT.
    `others` (n, …) counts those for contempt (unless it is a class), "unknown" and "not a face".
    """

    votes: NDArray[np.int64]
    others: NDArray[np.int64]

    def take(self, index: NDArray[np.int64]) -> Votes:
        return Votes(self.votes[index], self.others[index])

    def among(self, classes: int) -> Votes:
        """Return the same votes for only the first `classes` as classes."""
        return Votes(self.votes[:, :classes], np.hstack([self.votes[:, classes:], self.others]))

    def counted(self) -> NDArray[np.int64]:
        """Return the votes (n, classes) after the outlier rule of the FER+ paper.

        A single vote for a class is dropped. A face whose most frequent answer is not one of the
        classes keeps no votes.
        """
        votes = _without_single(self.votes)
        outside = self.others.max(axis=1) >= np.maximum(votes.max(axis=1), 1)
        return np.where(outside[:, None], 0, votes)

    def majority(self) -> NDArray[np.int64]:
        """Return the class (n,) with more than half of a face's counted votes; -1 if none has."""
        counted = self.counted()
        total = _without_single(np.hstack([self.votes, self.others])).sum(axis=1)
        return np.where(2 * counted.max(axis=1) > total, counted.argmax(axis=1), -1)

    def no_face(self) -> NDArray[np.bool_]:
        """Return the mask (n,) of the pictures in which at least half of the voters saw no face."""
        return np.asarray(self.others[:, -1] >= HALF_OF_VOTERS)


def vote_shares(votes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return votes (n, classes) as fractions of each row; zeros for a row without votes."""
    total = np.maximum(votes.sum(axis=1, keepdims=True), 1)
    return np.asarray(votes / total, dtype=np.float32)


def check_rows(name: str, votes: Votes, y: NDArray[np.int64]) -> None:
    """Raise DatasetError unless `votes` belong to the rows of split `name`, whose labels are `y`.

    Votes belong to faces only by the order of fer2013.csv, which class folders have lost.
    """
    fix = "put the file that belongs to this dataset there, or remove it."
    if len(votes.votes) != len(y):
        raise DatasetError(
            f"{VOTES_FILE}: has {len(votes.votes)} rows of {name}, the dataset {len(y)}; {fix}"
        )
    agree = (votes.votes.argmax(axis=1) == y) | ~votes.votes.any(axis=1)
    for start in range(0, len(y), ROWS_COMPARED):
        if (share := agree[start : start + ROWS_COMPARED].mean()) < MIN_AGREEMENT:
            raise DatasetError(
                f"{VOTES_FILE}: its votes agree with {share:.0%} of the labels from face "
                f"{start + 1} of {name} on, instead of about 65 %; its rows must be those of "
                f"fer2013.csv in the same order, which class folders have lost; {fix}"
            )


def read_votes_beside(dataset: Path, classes: int = len(LABELS)) -> dict[str, Votes]:
    """Read `fer2013new.csv` in or beside `dataset`; return the votes by split, {} without the file.

    There are seven classes, or eight with contempt.
    """
    path = (dataset if dataset.is_dir() else dataset.parent) / VOTES_FILE
    return read_votes(path, classes) if path.exists() else {}


def read_votes(path: Path, classes: int = len(LABELS)) -> dict[str, Votes]:
    """Read the votes on the first `classes` columns, by split. Raises DatasetError."""
    columns: dict[str, list[list[int]]] = {}
    line = 1
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            rows = csv.DictReader(text)
            for row in rows:
                line = rows.line_num
                counts = [int(row[name]) for name in COLUMNS]
                columns.setdefault(row["Usage"], []).append(counts)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise DatasetError(
            f"{path}, line {line}: not a row of FER+ votes ({error}); download {VOTES_FILE} again."
        ) from error
    tables = {name: np.array(table) for name, table in columns.items()}
    return {name: Votes(table[:, :classes], table[:, classes:]) for name, table in tables.items()}


def _without_single(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(votes > 1, votes, 0)
