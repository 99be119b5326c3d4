"""The settings of a training, and the defaults of each architecture."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from train.dataset import LABELS


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of a training; `optimizer` is "adam" or "sgd" (Nesterov momentum 0.9).

    `labels` are the classes in order. `votes_head` is the share of the loss for a second head that
    learns FER+'s votes (0 for none). `balance` gives rare classes more weight (0 to 1). `mixup` is
    mixup's alpha until the last fifth of the epochs (0 for none). `average` is the largest momentum
    of the weights' moving average, which is validated and kept (0 for the weights themselves).
    `hardening` is the strength of the augmentation in the last third of the epochs. `start` is
    the sha256 of the weights that the training starts from ("" for random ones). A student learns
    from the mean answers of `teachers` networks of the architecture `teacher`, or of the models
    with the sha256 `teacher_files`, softened by `teacher_temperature`, with the share
    `teacher_share` of the loss; without teachers these are 0 and empty. `averaged` holds the sha256
    of the trainings whose weights were averaged, if any.
    """

    architecture: str
    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int
    label_smoothing: float
    weight_decay: float
    votes_head: float
    balance: float
    mixup: float
    average: float
    hardening: float
    precision: str
    seed: int
    start: str = ""
    teachers: int = 0
    teacher: str = ""
    teacher_files: tuple[str, ...] = ()
    teacher_temperature: float = 0.0
    teacher_share: float = 0.0
    averaged: tuple[str, ...] = ()
    labels: tuple[str, ...] = LABELS

    @classmethod
    def of(cls, architecture: str, **changes: Any) -> Recipe:
        """Return the defaults of `architecture` with those of `changes` that are not None.

        The architecture "seed" has the seed project's recipe, all others SGD with one cosine.
        """
        recipe = SEED_RECIPE if architecture == "seed" else SGD_RECIPE
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(recipe, architecture=architecture, **given)

    @property
    def mixup_epochs(self) -> int:
        """The number of epochs with mixup: all but the last fifth."""
        return round(self.epochs * 4 / 5)

    def as_json(self) -> dict[str, Any]:
        """Return all settings but the labels, which the spec lists separately."""
        settings = asdict(self)
        del settings["labels"]
        return settings


SEED_RECIPE = Recipe(
    architecture="seed",
    optimizer="adam",
    learning_rate=5e-4,
    epochs=30,
    batch_size=64,
    label_smoothing=0.0,
    weight_decay=0.0,
    votes_head=0.0,
    balance=0.0,
    mixup=0.0,
    average=0.0,
    hardening=1.0,
    precision="float32",
    seed=1,
)
SGD_RECIPE = replace(
    SEED_RECIPE,
    architecture="compact",
    optimizer="sgd",
    learning_rate=0.1,
    epochs=60,
    batch_size=128,
    label_smoothing=0.1,
    weight_decay=5e-4,
    votes_head=0.5,
    average=0.998,
    hardening=1.5,
)
