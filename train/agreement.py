"""What FER+'s ten voters say to a network's answers: probabilities and votes in, figures out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.dataset import Split
from train.ferplus import Votes
from train.scores import score
from train.trained import Probabilities

VOTERS = 10
_LEAST = 1e-7  # of a probability whose logarithm is taken
_SAME_ROWS = 0.5  # FER+'s majority is FER2013's label on some two thirds of FER2013's rows


def measure_agreement(
    probabilities: Probabilities, split: Split, votes: Votes | None
) -> dict[str, Any] | None:
    """Scores against FER+'s majority and the votes; None without `votes` on `split`'s very rows.

    Left out are faces for which no more voters chose the first of our classes than chose none of
    them (not a face, contempt, unknown), and those with two first ones.
    """
    if votes is None or not _of_same_rows(votes, split):
        return None
    ours = votes.votes
    first = ours.max(axis=1)
    none_of_ours = first <= VOTERS - ours.sum(axis=1)
    undecided = ~none_of_ours & ((ours == first[:, None]).sum(axis=1) > 1)
    kept = np.flatnonzero(~none_of_ours & ~undecided)
    predicted, majority = probabilities[kept].argmax(axis=1), ours[kept].argmax(axis=1)
    shares = ours[kept] / ours[kept].sum(axis=1, keepdims=True)
    return {
        "left_out": {"none_of_ours": int(none_of_ours.sum()), "undecided": int(undecided.sum())},
        "against_majority": score(majority, predicted),
        "labels_agree": float((majority == split.y[kept]).mean()),
        "against_fer2013": score(split.y[kept], predicted),
        "votes": {
            "for_prediction": _mean_share(shares, predicted),
            "for_fer2013": _mean_share(shares, split.y[kept]),
            "for_majority": _mean_share(shares, majority),
            "cross_entropy": _cross_entropy(shares, probabilities[kept]),
            "entropy": _cross_entropy(shares, shares),
        },
    }


def _of_same_rows(votes: Votes, split: Split) -> bool:
    """Whether there are as many votes as faces, mostly for their labels."""
    if len(votes.votes) != len(split.y):
        return False
    return bool((votes.votes.argmax(axis=1) == split.y).mean() > _SAME_ROWS)


def _mean_share(shares: NDArray[np.float64], chosen: NDArray[np.int64]) -> float:
    return float(shares[np.arange(len(chosen)), chosen].mean())


def _cross_entropy(shares: NDArray[np.float64], probabilities: NDArray[Any]) -> float:
    """Mean over faces, in nats."""
    return float(-(shares * np.log(np.maximum(probabilities, _LEAST))).sum(axis=1).mean())
