"""A whole training: splits and votes in; network, report and export in one folder out."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from train.architectures import ARCHITECTURES
from train.batches import Batches, class_weights
from train.dataset import Split
from train.errors import DatasetError
from train.evaluate import evaluate, write_report
from train.export import export
from train.ferplus import FILE, Votes
from train.fit import Recipe, Taught, compiled, duration, fit
from train.selection import Selection, select
from train.targets import make_targets

WARM_UP_BATCHES, TIMED_BATCHES = 2, 6


def run(
    splits: dict[str, Split],
    votes: dict[str, Votes],
    *,
    architecture: str,
    changes: dict[str, Any],
    name: str,
    folder: Path,
) -> None:
    """Train the recipe of `architecture` with its `changes`, evaluate it, export it to `folder`."""
    recipe = _with_votes(Recipe.of(architecture, **changes), changes, votes.get("Training"))
    chosen = select(splits, votes, recipe.seed)
    print(chosen.said)
    taught = teach(splits["Training"], votes.get("Training"), chosen, recipe)
    keras.config.set_dtype_policy(recipe.precision)
    seconds = expected_s(taught, recipe)
    network = _network(recipe)
    print(f"{architecture}: {network.count_params():,} parameters, {recipe.epochs} epochs")
    print(f"all of them take about {duration(seconds)} on this machine, as busy as it is now")
    fit(network, taught, chosen.validation, recipe, folder / "work")
    network = _in_float32(network, recipe)
    metrics = evaluate(network, chosen.validation)
    write_report(metrics, folder / "report")
    shutil.copy(folder / "work" / "curves.png", folder / "report" / "curves.png")
    export(
        network,
        recipe,
        name=name,
        folder=folder,
        training=chosen.training,
        test=chosen.validation,
        metrics=metrics,
    )
    split = chosen.validation.name
    print(f"{split}: accuracy {metrics['accuracy']:.2%}, macro-F1 {metrics['macro_f1']:.3f}")
    print(f"wrote {folder}; next: make convert NAME={name}")


def teach(training: Split, votes: Votes | None, chosen: Selection, recipe: Recipe) -> Taught:
    """The chosen faces with their targets and weights; votes are translated on all of Training."""
    targets = make_targets(
        training.y,
        votes.votes if votes else None,
        blend=recipe.votes,
        smoothing=recipe.label_smoothing,
    )
    return Taught(
        chosen.training.x,
        targets[chosen.kept],
        class_weights(chosen.training.y, recipe.balance),
    )


def expected_s(taught: Taught, recipe: Recipe) -> float:
    """Seconds that all epochs take, from a few timed batches of a network that is thrown away."""
    batches = Batches(
        taught.x,
        taught.targets,
        taught.weights,
        batch_size=recipe.batch_size,
        mixup=recipe.mixup,
        seed=recipe.seed,
        epoch=0,
    )
    model = compiled(_network(recipe), recipe, len(batches))
    x, targets, weights = batches[0]
    for number in range(WARM_UP_BATCHES + TIMED_BATCHES):
        if number == WARM_UP_BATCHES:
            start = time.monotonic()
        model.train_on_batch(x, targets, weights)
    each_s = (time.monotonic() - start) / TIMED_BATCHES
    return each_s * len(batches) * recipe.epochs


def _with_votes(recipe: Recipe, changes: dict[str, Any], votes: Votes | None) -> Recipe:
    """`recipe`, without votes where there are none and nobody asked for them."""
    if votes is not None or not recipe.votes:
        return recipe
    if changes.get("votes"):
        raise DatasetError(f"--votes needs FER+'s {FILE} beside the dataset; put it there.")
    print(f"no {FILE} beside the dataset: targets are FER2013's labels alone")
    return replace(recipe, votes=0.0)


def _network(recipe: Recipe) -> keras.Model:
    keras.utils.set_random_seed(recipe.seed)
    return ARCHITECTURES[recipe.architecture]()


def _in_float32(network: keras.Model, recipe: Recipe) -> keras.Model:
    """The same network in float32, as it is exported."""
    keras.config.set_dtype_policy("float32")
    portable = _network(recipe)
    portable.set_weights(network.get_weights())
    return portable
