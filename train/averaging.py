"""Averages the weights of trainings, of which later ones started from earlier ones.

Such networks are in one basin of the loss, where the mean is at least as good as the best of them
(Wortsman et al., Model soups, arXiv:2203.05482).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from train.dataset import Split
from train.ferplus import Votes
from train.loading import load_model
from train.networks import build
from train.recipe import Recipe
from train.run import finish
from train.scores import Faces
from train.selection import select
from train.warm_start import load_start, sha256_of

BATCH, BATCHES = 256, 60


def average(
    splits: dict[str, Split],
    votes: dict[str, Votes],
    paths: Sequence[Path],
    *,
    name: str,
    folder: Path,
) -> None:
    """Evaluate and export the mean of the exports `paths`, each with the head beside it.

    The recipe is that of the last path. Raises ModelFileError if a network cannot be read or has
    another architecture.
    """
    labels = splits["Training"].labels
    settings: dict[str, Any] = load_model(paths[-1], labels).spec["training"]
    known = {each.name for each in fields(Recipe)}
    given = {key: value for key, value in settings.items() if key in known}
    recipe = replace(
        Recipe.of(**given),
        teacher_files=tuple(given.get("teacher_files", ())),
        averaged=tuple(map(sha256_of, paths)),
        labels=labels,
    )
    selection = select(splits, votes, recipe.seed)
    print(selection.summary)
    network = build(recipe)
    loaded = []
    for path in paths:
        load_start(network, recipe, path, selection.training.x)
        loaded.append(network.get_weights())
    network.set_weights([np.mean(each, axis=0) for each in zip(*loaded, strict=True)])
    measure_statistics(network, selection.training.x, recipe.seed)
    finish(network, selection, recipe, name=name, folder=folder)


def measure_statistics(network: keras.Model, faces: Faces, seed: int) -> None:
    """Measure the statistics of each batch normalization of `network` again, on `faces`.

    The averaged statistics of two networks are not the statistics of the averaged network. Some
    15,000 of the faces (n, 48, 48, 1) are used, without augmentation. After Wu and Johnson,
    arXiv:2105.07576, section 3.
    """
    norms = [each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)]
    own = [norm.momentum for norm in norms]
    order = np.random.default_rng(seed).permutation(len(faces))
    size = min(BATCH, len(faces))
    for number in range(min(BATCHES, len(faces) // size)):
        for norm in norms:
            norm.momentum = number / (number + 1)  # so that each batch weighs the same
        network(faces[order[number * size : (number + 1) * size]], training=True)
    for norm, momentum in zip(norms, own, strict=True):
        norm.momentum = momentum
