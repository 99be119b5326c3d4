"""FER+: ten people's votes on each FER2013 picture, `fer2013new.csv` in, votes by row out.

Barsoum et al., 2016, "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced
Label Distribution" (https://arxiv.org/abs/1608.01041). Its rows are those of fer2013.csv, in the
same order.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.errors import DatasetError

FILE = "fer2013new.csv"
# The file's columns in the order of train.dataset.LABELS; contempt and unknown are none of ours.
COLUMNS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
NOT_A_FACE = "NF"
HALF_OF_VOTERS = 5
LEAST_AGREEMENT = 0.4  # with FER2013's labels: 0.65 where each face has its row, else 0.18
ROWS_COMPARED = 1000


@dataclass(frozen=True, slots=True)
class Votes:
    """One split's votes: `votes` (n, 7) in the order of LABELS, `not_a_face` (n,)."""

    votes: NDArray[np.int64]
    not_a_face: NDArray[np.int64]

    def no_face(self) -> NDArray[np.bool_]:
        """Mask (n,) of the pictures in which half of the voters saw no face."""
        return self.not_a_face >= HALF_OF_VOTERS


def check_rows(name: str, votes: Votes, y: NDArray[np.int64]) -> None:
    """Raises DatasetError where `votes` can't be of the rows of split `name`, whose labels are `y`.

    Class folders have lost the order of fer2013.csv, which is all that ties votes to faces.
    """
    said = "put the file that belongs to this dataset there, or remove it."
    if len(votes.votes) != len(y):
        raise DatasetError(
            f"{FILE}: has {len(votes.votes)} rows of {name}, the dataset {len(y)}; {said}"
        )
    agree = (votes.votes.argmax(axis=1) == y) | ~votes.votes.any(axis=1)
    for start in range(0, len(y), ROWS_COMPARED):
        if (share := agree[start : start + ROWS_COMPARED].mean()) < LEAST_AGREEMENT:
            raise DatasetError(
                f"{FILE}: its votes agree with {share:.0%} of the labels from face {start + 1} of "
                f"{name} on, instead of about 65 %: its rows have to be those of fer2013.csv in "
                f"the same order, which class folders have lost; {said}"
            )


def read_votes_beside(dataset: Path) -> dict[str, Votes]:
    """The votes by split from the file in or beside `dataset`; empty where there is none."""
    path = (dataset if dataset.is_dir() else dataset.parent) / FILE
    return read_votes(path) if path.exists() else {}


def read_votes(path: Path) -> dict[str, Votes]:
    """The votes by split; raises DatasetError with what is wrong."""
    columns: dict[str, list[list[int]]] = {}
    line = 1
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            rows = csv.DictReader(text)
            for row in rows:
                line = rows.line_num
                counts = [int(row[name]) for name in (*COLUMNS, NOT_A_FACE)]
                columns.setdefault(row["Usage"], []).append(counts)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise DatasetError(
            f"{path}, line {line}: not a row of FER+ votes ({error}); get {FILE} again."
        ) from error
    return {name: _votes(np.array(table)) for name, table in columns.items()}


def _votes(table: NDArray[np.int64]) -> Votes:
    return Votes(table[:, :-1], table[:, -1])
