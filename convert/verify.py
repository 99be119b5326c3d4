"""The gate: two models' answers in, their comparison or a refusal out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convert import scores
from convert.errors import GateError
from convert.export_folder import ClassIds
from convert.scores import Probabilities

MAX_ACCURACY_DROP = 0.005
MIN_AGREEMENT = 0.97
MAX_MEAN_KL = 0.02  # nats


@dataclass(frozen=True, slots=True)
class Comparison:
    """The Keras network and the int8 model on the same test images."""

    samples: int
    keras: scores.Scores
    int8: scores.Scores
    agreement: float
    mean_kl: float

    @property
    def accuracy_drop(self) -> float:
        return self.keras.accuracy - self.int8.accuracy


def compare(
    keras: Probabilities, int8: Probabilities, truth: ClassIds, labels: Sequence[str]
) -> Comparison:
    """Compare two models' (n, classes) answers; `GateError` names every limit that is broken."""
    for name, answers in (("Keras network", keras), ("int8 model", int8)):
        _refuse_dead(name, answers, labels)
    comparison = Comparison(
        samples=len(truth),
        keras=scores.score(keras, truth),
        int8=scores.score(int8, truth),
        agreement=scores.agreement(keras, int8),
        mean_kl=scores.mean_kl(keras, int8),
    )
    broken = _broken_limits(comparison)
    if broken:
        raise GateError(f"the int8 model is not good enough: {'; '.join(broken)}")
    return comparison


def _refuse_dead(name: str, answers: Probabilities, labels: Sequence[str]) -> None:
    bad = int((~np.isfinite(answers).all(axis=1)).sum())
    if bad:
        raise GateError(f"the {name} is dead: it answers NaN or infinity on {bad} test images")
    top = np.unique(answers.argmax(axis=1))
    if len(top) == 1:
        raise GateError(f"the {name} is dead: it answers {labels[top[0]]!r} to every test image")


def _broken_limits(comparison: Comparison) -> list[str]:
    drop, agreement, kl = comparison.accuracy_drop, comparison.agreement, comparison.mean_kl
    broken = []
    if drop > MAX_ACCURACY_DROP:
        broken.append(
            f"accuracy drops by {100 * drop:.2f} points, "
            f"at most {100 * MAX_ACCURACY_DROP:.1f} is allowed"
        )
    if agreement < MIN_AGREEMENT:
        broken.append(
            f"top-1 agreement is {100 * agreement:.2f} %, "
            f"at least {100 * MIN_AGREEMENT:.0f} % is needed"
        )
    if kl > MAX_MEAN_KL:
        broken.append(f"mean KL divergence is {kl:.4f}, at most {MAX_MEAN_KL} is allowed")
    return broken
