"""The gate: refuses models that answer differently from the Keras network.

Every limit is compared with the favorable end of a 95 % interval. A small test set therefore
refuses a model only if its difference is larger than the limit by more than chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import scores
from convert.errors import GateError
from convert.export_folder import ClassIds
from convert.scores import Probabilities

# The class numbers as the datasets publish them.
DATASET_LABELS: Mapping[str, tuple[str, ...]] = {
    "FER2013": ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
}
MAX_ACCURACY_GAP = 0.01  # between training and conversion, which may use other Keras backends
MIN_EXCHANGE_GAIN = 0.2  # in the sum of two F1 scores

_Z = 1.959964  # of a 95 % interval
_SATURATED = 0.995
_ADVICE = (
    "convert with --variants float16, train longer, or accept more with the options of "
    "python -m convert --help"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a model may differ from the Keras network: rates of 0 to 1, divergence in nats.

    `runtime_agreement` and `runtime_difference` limit how much other runtimes differ from LiteRT.
    """

    accuracy_drop: float = 0.005
    agreement: float = 0.97
    recall_drop: float = 0.03
    mean_kl: float = 0.02
    runtime_agreement: float = 0.99
    runtime_difference: float = 0.05


@dataclass(frozen=True, slots=True)
class Drop:
    """The decrease of a rate, and the lower end of its 95 % interval."""

    points: float
    low: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The Keras network and a converted model on the same images."""

    images: str
    samples: int
    keras: scores.Scores
    model: scores.Scores
    accuracy_drop: Drop
    recall_drops: tuple[Drop, ...]  # 0 for a class without images
    agreement: float
    agreement_high: float
    mean_kl: float
    mean_kl_low: float

    @property
    def worst_class(self) -> int:
        """The class whose recall drops most beyond chance."""
        return int(np.argmax([drop.low for drop in self.recall_drops]))


def compare(images: str, keras: Probabilities, model: Probabilities, truth: ClassIds) -> Comparison:
    """Compare the answers (n, classes) of two models; `images` names the images they answer to."""
    before, after = (each.argmax(axis=1) == truth for each in (keras, model))
    same = keras.argmax(axis=1) == model.argmax(axis=1)
    divergence = scores.divergences(keras, model)
    error = float(divergence.std() / math.sqrt(len(truth)))
    return Comparison(
        images=images,
        samples=len(truth),
        keras=scores.score(keras, truth),
        model=scores.score(model, truth),
        accuracy_drop=paired_drop(before, after),
        recall_drops=tuple(
            paired_drop(before[truth == c], after[truth == c]) for c in range(keras.shape[1])
        ),
        agreement=float(same.mean()),
        agreement_high=scores.wilson(int(same.sum()), len(same))[1],
        mean_kl=float(divergence.mean()),
        mean_kl_low=float(divergence.mean()) - _Z * error,
    )


def paired_drop(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Drop:
    """Return the drop between two models that are right or wrong on the same images (n,).

    The interval is Wald's for a difference of paired proportions (Agresti, Categorical Data
    Analysis, 2002, section 10.1).
    """
    n = len(before)
    if not n:
        return Drop(0.0, 0.0)
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    variance = lost + gained - (lost - gained) ** 2 / n
    drop = (lost - gained) / n
    return Drop(drop, drop - _Z * math.sqrt(variance) / n)


def refuse_dead(name: str, answers: Probabilities, labels: Sequence[str]) -> None:
    """Raise GateError if the answers (n, classes) cannot depend on the images."""
    bad = int((~np.isfinite(answers).all(axis=1)).sum())
    if bad:
        raise GateError(
            f"the {name} is dead: it answers NaN or infinity on {bad} test images; train again "
            "with another --seed or a smaller --learning-rate"
        )
    top = np.unique(answers.argmax(axis=1))
    if len(top) == 1:
        raise GateError(
            f"the {name} is dead: it answers {labels[top[0]]!r} to every test image; train longer "
            "or on more faces"
        )


def refuse_saturated(name: str, keras: Probabilities, answers: Probabilities) -> None:
    """Raise GateError if every answer is one class at 100 %, unlike the Keras network's."""
    if (answers.max(axis=1) > _SATURATED).all() and not (keras.max(axis=1) > _SATURATED).all():
        raise GateError(
            f"the {name} is saturated: its every answer is one class at 100 %; {_ADVICE}"
        )


def refuse_broken(
    name: str, comparisons: Sequence[Comparison], labels: Sequence[str], limits: Limits
) -> None:
    """Raise GateError if a limit is exceeded; it names each such limit, its value and the fix."""
    broken = [
        f"on the {comparison.images} {each}"
        for comparison in comparisons
        for each in _broken_limits(comparison, labels, limits)
    ]
    if broken:
        raise GateError(f"the {name} is not good enough: {'; '.join(broken)}; {_ADVICE}")


def refuse_runtime(
    name: str, runtime: str, *, agreement: float, images: int, difference: float, limits: Limits
) -> None:
    """Raise GateError if `runtime` answers too differently from LiteRT.

    `agreement` is the share of the `images` with the same top class; `difference` is the largest
    difference of a probability.
    """
    if scores.wilson(round(agreement * images), images)[1] < limits.runtime_agreement:
        raise GateError(
            f"the {name} answers differently on {runtime}: the top class is LiteRT's on "
            f"{100 * agreement:.2f} % of the test images; the limit is "
            f"{100 * limits.runtime_agreement:g} %; {_ADVICE}"
        )
    if difference > limits.runtime_difference:
        raise GateError(
            f"the {name} answers differently on {runtime}: a probability differs by "
            f"{difference:.3f} from LiteRT's; the limit is {limits.runtime_difference:g}; {_ADVICE}"
        )


def _broken_limits(comparison: Comparison, labels: Sequence[str], limits: Limits) -> Iterator[str]:
    accuracy, worst = comparison.accuracy_drop, comparison.worst_class
    recall = comparison.recall_drops[worst]
    if accuracy.low > limits.accuracy_drop:
        yield (
            f"accuracy drops by {100 * accuracy.points:.2f} points (at least "
            f"{100 * accuracy.low:.2f} at 95 % confidence); the limit is "
            f"{100 * limits.accuracy_drop:g}"
        )
    if comparison.agreement_high < limits.agreement:
        yield (
            f"top-1 agreement is {100 * comparison.agreement:.2f} %; the limit is "
            f"{100 * limits.agreement:g} %"
        )
    if recall.low > limits.recall_drop:
        yield (
            f"the recall of {labels[worst]!r} drops by {100 * recall.points:.2f} points (at least "
            f"{100 * recall.low:.2f}); the limit is {100 * limits.recall_drop:g}"
        )
    if comparison.mean_kl_low > limits.mean_kl:
        yield (
            f"mean KL divergence is {comparison.mean_kl:.4f}; the limit is {limits.mean_kl:g} nats"
        )


def check_labels(spec: Mapping[str, Any], keras: Probabilities, truth: ClassIds) -> None:
    """Raise GateError if the labels of `spec` do not fit the network's answers (n, classes).

    A converted model agrees with its Keras network whatever the classes are called. Comparing the
    two therefore cannot find a shuffled list of labels. Three other checks can: the order of the
    labels in the dataset, whether two names fit better when exchanged, and the accuracy that
    training measured.
    """
    _check_order(spec)
    _check_exchanges(spec["labels"], keras, truth)
    _check_accuracy(spec, scores.score(keras, truth).accuracy, len(truth))


def _check_order(spec: Mapping[str, Any]) -> None:
    dataset = spec.get("dataset")
    name = dataset.get("name") if isinstance(dataset, dict) else None
    known = DATASET_LABELS.get(str(name))
    if known is None or tuple(spec["labels"]) in (known, (*known, "contempt")):  # FER+'s eighth
        return
    wrong = next((i for i, label in enumerate(known) if label != spec["labels"][i]), 0)
    raise GateError(
        f"the labels do not fit: class {wrong} of {name} is {known[wrong]!r}, "
        f"spec.json calls it {spec['labels'][wrong]!r}; correct spec.json"
    )


def _check_exchanges(labels: Sequence[str], keras: Probabilities, truth: ClassIds) -> None:
    """Raise GateError if two labels fit better when exchanged, by their F1 scores.

    Every shuffled list of labels has such a pair. A label counts as another class's only if most
    images with that answer are of that class; this excludes a network that always answers alike.
    """
    counts = scores.confusion(keras.argmax(axis=1), truth, len(labels))
    actual, predicted = counts.sum(axis=1)[:, None], counts.sum(axis=0)[None, :]
    f1 = 2 * counts / np.maximum(actual + predicted, 1)
    f1[(2 * counts <= predicted) & ~np.eye(len(labels), dtype=bool)] = 0
    for a, b in combinations(range(len(labels)), 2):
        if f1[a, b] + f1[b, a] - f1[a, a] - f1[b, b] > MIN_EXCHANGE_GAIN:
            right, exchanged = counts[a, a] + counts[b, b], counts[a, b] + counts[b, a]
            raise GateError(
                f"the labels do not fit: of the {counts[[a, b]].sum()} test images of "
                f"{labels[a]!r} and {labels[b]!r} the Keras network is right on {right}, and on "
                f"{exchanged} with the two names exchanged; correct the order in spec.json"
            )


def _check_accuracy(spec: Mapping[str, Any], accuracy: float, samples: int) -> None:
    metrics = spec.get("metrics")
    if not isinstance(metrics, dict) or metrics.get("faces") != samples:
        return  # training measured its accuracy on other images
    claimed = metrics.get("accuracy")
    if not isinstance(claimed, float) or abs(claimed - accuracy) <= MAX_ACCURACY_GAP:
        return
    raise GateError(
        f"labels, weights and test images do not fit: the Keras network is right on "
        f"{100 * accuracy:.2f} % of test.npz, training measured {100 * claimed:.2f} %; "
        "export the network again"
    )
