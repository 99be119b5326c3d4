"""The gate: two models' answers in, their comparison or a refusal out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from convert import scores
from convert.errors import GateError
from convert.export_folder import ClassIds
from convert.scores import Probabilities

CLEAN, CORRUPTED = "test images", "corrupted test images"
MIN_RECALL_SAMPLES = 50  # a recall of fewer samples says too little to refuse a model for

_ROUNDING = 1e-9  # 0.80 − 0.77 is a little more than 0.03
_SATURATED = 0.995


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a model may be from the Keras network: rates of 0 to 1, divergence in nats.

    The last two hold each other runtime's answers against LiteRT's.
    """

    accuracy_drop: float = 0.005
    agreement: float = 0.97
    recall_drop: float = 0.03
    mean_kl: float = 0.02
    runtime_agreement: float = 0.99
    runtime_difference: float = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """The Keras network and a converted model on the same images."""

    images: str
    samples: int
    keras: scores.Scores
    model: scores.Scores
    agreement: float
    mean_kl: float

    @property
    def accuracy_drop(self) -> float:
        return self.keras.accuracy - self.model.accuracy

    @property
    def worst_class(self) -> tuple[int, float]:
        """The class whose recall drops most, of those with enough samples, and by how much."""
        drops = [
            before - after if before is not None and after is not None else -1.0
            for before, after in zip(self.keras.recall, self.model.recall, strict=True)
        ]
        enough = [n >= MIN_RECALL_SAMPLES for n in self.keras.support]
        worst = int(np.where(enough, drops, -1.0).argmax())
        return worst, drops[worst] if enough[worst] else 0.0


def compare(images: str, keras: Probabilities, model: Probabilities, truth: ClassIds) -> Comparison:
    """Compare two models' (n, classes) answers to the `images` of that name."""
    return Comparison(
        images=images,
        samples=len(truth),
        keras=scores.score(keras, truth),
        model=scores.score(model, truth),
        agreement=scores.agreement(keras, model),
        mean_kl=scores.mean_kl(keras, model),
    )


def refuse_dead(name: str, answers: Probabilities, labels: Sequence[str]) -> None:
    """`GateError` if the answers (n, classes) cannot depend on the images."""
    bad = int((~np.isfinite(answers).all(axis=1)).sum())
    if bad:
        raise GateError(f"the {name} is dead: it answers NaN or infinity on {bad} test images")
    top = np.unique(answers.argmax(axis=1))
    if len(top) == 1:
        raise GateError(f"the {name} is dead: it answers {labels[top[0]]!r} to every test image")


def refuse_saturated(name: str, keras: Probabilities, answers: Probabilities) -> None:
    """`GateError` if every answer is all or nothing, though the Keras network's are not."""
    if (answers.max(axis=1) > _SATURATED).all() and not (keras.max(axis=1) > _SATURATED).all():
        raise GateError(f"the {name} is saturated: its every answer is one class at 100 %")


def refuse_broken(
    name: str, comparisons: Sequence[Comparison], labels: Sequence[str], limits: Limits
) -> None:
    """`GateError` naming every limit that is broken, the figure, and the worst class."""
    broken = [
        f"on the {comparison.images} {each}"
        for comparison in comparisons
        for each in _broken_limits(comparison, labels, limits)
    ]
    if broken:
        worst, drop = max((each.worst_class for each in comparisons), key=lambda found: found[1])
        raise GateError(
            f"the {name} is not good enough: {'; '.join(broken)} "
            f"(worst class: {labels[worst]!r}, recall down {100 * drop:.2f} points)"
        )


def refuse_runtime(
    name: str, runtime: str, agreement: float, difference: float, limits: Limits
) -> None:
    """`GateError` if `runtime` answers too differently from LiteRT, by label or probability."""
    if agreement < limits.runtime_agreement - _ROUNDING:
        raise GateError(
            f"the {name} answers otherwise on {runtime}: the top class is LiteRT's on "
            f"{100 * agreement:.2f} % of the test images, "
            f"at least {100 * limits.runtime_agreement:g} % is needed"
        )
    if difference > limits.runtime_difference + _ROUNDING:
        raise GateError(
            f"the {name} answers otherwise on {runtime}: a probability is off by "
            f"{difference:.3f} from LiteRT's, at most {limits.runtime_difference:g} is allowed"
        )


def _broken_limits(comparison: Comparison, labels: Sequence[str], limits: Limits) -> Iterator[str]:
    drop, agreement, kl = comparison.accuracy_drop, comparison.agreement, comparison.mean_kl
    worst, recall_drop = comparison.worst_class
    if drop > limits.accuracy_drop + _ROUNDING:
        yield (
            f"accuracy drops by {100 * drop:.2f} points, "
            f"at most {100 * limits.accuracy_drop:g} is allowed"
        )
    if agreement < limits.agreement - _ROUNDING:
        yield (
            f"top-1 agreement is {100 * agreement:.2f} %, "
            f"at least {100 * limits.agreement:g} % is needed"
        )
    if recall_drop > limits.recall_drop + _ROUNDING:
        yield (
            f"the recall of {labels[worst]!r} drops by {100 * recall_drop:.2f} points, "
            f"at most {100 * limits.recall_drop:g} is allowed"
        )
    if kl > limits.mean_kl:
        yield f"mean KL divergence is {kl:.4f}, at most {limits.mean_kl:g} is allowed"
