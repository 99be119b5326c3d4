"""What a network is taught for each face: labels and FER+ votes in, probabilities (n, 7) out.

FER2013's labels and FER+'s votes disagree on a third of the faces, and the figures are against
FER2013's. So votes are first translated into the FER2013 label that faces with such votes have:
they say how doubtful a label is, without pulling the network towards FER+'s habits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.dataset import LABELS

CLASSES = len(LABELS)
STEPS = 3000
RATE = 0.5
MOMENTUM = 0.9
PENALTY = 1e-5


def make_targets(
    y: NDArray[np.int64],
    votes: NDArray[np.int64] | None,
    *,
    blend: float,
    smoothing: float,
) -> NDArray[np.float32]:
    """(1 - `blend`) of the labels `y` (n,), smoothed, and `blend` of the translated `votes` (n, 7).

    `smoothing` is the share of a label that is spread over all classes. Rows sum to 1.
    """
    targets = (1 - smoothing) * np.eye(CLASSES)[y] + smoothing / CLASSES
    if blend:
        if votes is None:
            raise ValueError("a blend needs votes")
        targets = (1 - blend) * targets + blend * translate(votes, y)
    return targets.astype(np.float32)


def shares(votes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Votes (n, 7) as shares of a face's; nothing but zeros where all went elsewhere."""
    given = np.maximum(votes.sum(axis=1, keepdims=True), 1)
    return np.asarray(votes / given, dtype=np.float32)


def translate(votes: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(FER2013 label | votes) (n, 7), by a multinomial logistic regression fitted on these rows.

    Gradient descent with momentum, a fixed number of steps from zero: the same rows give the same
    probabilities. Source: Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3.4.
    """
    features, wanted = _features(votes), np.eye(CLASSES)[y]
    weights = np.zeros((features.shape[1], CLASSES))
    velocity = np.zeros_like(weights)
    for _ in range(STEPS):
        slope = features.T @ (_softmax(features @ weights) - wanted) / len(y)
        velocity = MOMENTUM * velocity + slope + PENALTY * weights
        weights -= RATE * velocity
    return _softmax(features @ weights)


def _features(votes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares of the votes, bent both ways, how many voted for one of the seven, and a constant."""
    given = votes.sum(axis=1, keepdims=True)
    share = shares(votes)
    return np.hstack([share, np.sqrt(share), share**2, given / 10, np.ones_like(given)])


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    return odds
