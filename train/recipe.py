"""The settings of a training, one frozen record, and those kept for each architecture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained; `optimizer` is "adam" or "sgd" (Nesterov momentum 0.9).

    `votes` is the share of FER+'s votes in the targets. `votes_head` is the share of the loss that
    a second head has, which learns the votes as they are and is dropped after the training.
    `balance` is how far rare classes weigh more (0 to 1), `mixup` its alpha (0 for none),
    `average` the momentum of the moving average of the weights that is validated and kept (0 for
    the weights themselves). `hardening` is the strength of the augmentation in the last third of
    the epochs. `start` is the sha256 of the model file that the training goes on from ("" for
    none). A student learns from the averaged answers of `teachers` networks of the architecture
    `teacher`, softened by `teacher_temperature`, with `taught` as their share of the loss; without
    teachers these are 0 and "".
    """

    architecture: str
    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int
    label_smoothing: float
    weight_decay: float
    votes: float
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
    teacher_temperature: float = 0.0
    taught: float = 0.0

    @classmethod
    def of(cls, architecture: str, **changes: Any) -> Recipe:
        """The recipe kept for `architecture`, with those of `changes` that are not None.

        For `seed` it is the seed project's own, else SGD with one cosine.
        """
        recipe = SEED_RECIPE if architecture == "seed" else SGD_RECIPE
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(recipe, architecture=architecture, **given)


SEED_RECIPE = Recipe(
    architecture="seed",
    optimizer="adam",
    learning_rate=5e-4,
    epochs=30,
    batch_size=64,
    label_smoothing=0.0,
    weight_decay=0.0,
    votes=0.0,
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
    votes=0.2,
    votes_head=0.4,
    average=0.998,
    hardening=1.5,
)
