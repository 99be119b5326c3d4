"""A network and a split in, every figure about it out: accuracy, calibration, votes, robustness."""

from __future__ import annotations

from typing import Any

import numpy as np

from train.agreement import measure_agreement
from train.calibration import measure_calibration
from train.dataset import Split
from train.duplicates import near_pairs
from train.ferplus import Votes
from train.robustness import measure_robustness
from train.scores import score
from train.trained import Classify


def evaluate(
    classify: Classify, split: Split, *, votes: Votes | None = None, temperature: float = 1.0
) -> dict[str, Any]:
    """Look at `classify` on every face of `split`, as it is and corrupted; figures for JSON.

    `votes` are FER+'s on the split's rows, if at hand. `temperature` is the one that was worked
    into the network (`apply_temperature`), so that the report can say what it brought.
    """
    probabilities = classify(split.x)
    predicted = probabilities.argmax(axis=1)
    once = _copies_once(split)
    return {
        "split": split.name,
        "labels": "FER2013",
        **score(split.y, predicted),
        "temperature": temperature,
        "copies_once": score(split.y[once], predicted[once]),
        "ferplus": measure_agreement(probabilities, split, votes),
        "calibration": measure_calibration(probabilities, split.y, temperature),
        "robustness": measure_robustness(classify, split.x, split.y),
    }


def _copies_once(split: Split) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Indices of the faces of `split`, without those that repeat an earlier one."""
    repeated = [pair.second for pair in near_pairs(split.x)]
    return np.setdiff1d(np.arange(len(split.y)), repeated)
