"""Trains teachers and adds their mean answers to a student's training set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from train.checkpoints import save_array
from train.dataset import Split
from train.devices import one_device
from train.fit import fit
from train.losses import soften
from train.networks import build, heads_in_float32
from train.recipe import Recipe
from train.targets import TrainingSet

ANSWERS = "answers.npy"


def add_teachers(
    training: TrainingSet,
    validation: Split,
    recipe: Recipe,
    epochs: int,
    folder: Path,
    *,
    shares: NDArray[np.float32] | None,
) -> TrainingSet:
    """`training` with the softened answers of the teachers of `recipe` added to its targets.

    The teachers train one after another with seeds of their own, `epochs` each, in `folder`/1, 2
    and so on. Each continues after its last epoch when called again; one that is done only gives
    its answers. `shares` are those of FER+'s votes on `validation`.
    """
    answers = [
        _answers(training, validation, _recipe(recipe, n, epochs), folder / str(n), shares)
        for n in range(1, recipe.teachers + 1)
    ]
    heads = np.split(np.mean(answers, axis=0), 2 if recipe.votes_head else 1, axis=1)
    softened = [soften(head, recipe.teacher_temperature) for head in heads]
    return replace(training, targets=np.hstack([training.targets, *softened]))


def _recipe(student: Recipe, number: int, epochs: int) -> Recipe:
    return Recipe.of(
        student.teacher,
        epochs=epochs,
        seed=student.seed + number,
        votes_head=student.votes_head,
        balance=student.balance,
        precision=student.precision,
        labels=student.labels,
    )


def _answers(
    training: TrainingSet,
    validation: Split,
    recipe: Recipe,
    folder: Path,
    shares: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Probabilities (n, classes × heads) of a trained teacher, averaged over mirrored faces."""
    keras.config.set_dtype_policy(recipe.precision)
    network = build(recipe)
    print(f"teacher in {folder}: {recipe.architecture}, {network.count_params():,} parameters")
    fit(network, training, validation, recipe, folder, shares=shares)
    if (folder / ANSWERS).exists():
        return np.asarray(np.load(folder / ANSWERS), dtype=np.float32)
    views = training.x, training.x[:, :, ::-1]
    with one_device():
        heads = heads_in_float32(network, recipe).values()
        answers = np.hstack(
            [np.mean([head.predict(x, batch_size=256, verbose=0) for x in views], axis=0)
             for head in heads]
        )  # fmt: skip
    save_array(folder / ANSWERS, answers)
    return np.asarray(answers, dtype=np.float32)
