"""Teachers for a student: faces in, the averaged answers of several trained networks out."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from train.batches import Taught
from train.checkpoints import save_array
from train.dataset import Split
from train.devices import one_device
from train.fit import fit
from train.losses import soften
from train.networks import build, in_float32
from train.recipe import Recipe

ANSWERS = "answers.npy"


def add_teachers(
    taught: Taught, validation: Split, recipe: Recipe, epochs: int, folder: Path
) -> Taught:
    """`taught` with the answers of the teachers of `recipe` behind its targets.

    They train one after another with seeds of their own, `epochs` each, in `folder`/1, 2 …; each
    goes on from its last epoch when called again, and one that is done only hands over its answers.
    """
    answers = [
        _answers(taught, validation, _recipe(recipe, number, epochs), folder / str(number))
        for number in range(1, recipe.teachers + 1)
    ]
    softened = soften(np.mean(answers, axis=0), recipe.teacher_temperature)
    return Taught(taught.x, np.hstack([taught.targets, softened]), taught.weights)


def _recipe(student: Recipe, number: int, epochs: int) -> Recipe:
    return Recipe.of(
        student.teacher,
        epochs=epochs,
        seed=student.seed + number,
        votes=student.votes,
        votes_head=student.votes_head,
        balance=student.balance,
        precision=student.precision,
    )


def _answers(
    taught: Taught, validation: Split, recipe: Recipe, folder: Path
) -> NDArray[np.float32]:
    """Probabilities (n, 7) that a trained teacher gives, a face and its mirror image averaged."""
    keras.config.set_dtype_policy(recipe.precision)
    network = build(recipe)
    print(f"teacher in {folder}: {recipe.architecture}, {network.count_params():,} parameters")
    fit(network, taught, validation, recipe, folder)
    if (folder / ANSWERS).exists():
        return np.asarray(np.load(folder / ANSWERS), dtype=np.float32)
    views = taught.x, taught.x[:, :, ::-1]
    with one_device():
        network = in_float32(network, recipe)
        answers = np.mean([network.predict(x, batch_size=256, verbose=0) for x in views], axis=0)
    save_array(folder / ANSWERS, answers)
    return np.asarray(answers, dtype=np.float32)
