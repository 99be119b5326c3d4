"""A whole training: splits and votes in; network, report and export in one folder out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from train.batches import Taught, class_weights
from train.calibration import apply_temperature, fit_temperature
from train.dataset import Split
from train.devices import one_device, spread
from train.distil import add_teachers
from train.errors import DatasetError
from train.evaluate import evaluate
from train.export import export
from train.ferplus import FILE, Votes
from train.fit import batches_of, compiled, fit
from train.networks import build, in_float32
from train.progress import duration
from train.recipe import Recipe
from train.report import write_report
from train.selection import Selection, select
from train.start import sha256_of, start_from
from train.targets import make_targets, shares
from train.trained import keras_classifier

WARM_UP_BATCHES, TIMED_BATCHES = 2, 6


def run(
    splits: dict[str, Split],
    votes: dict[str, Votes],
    *,
    architecture: str,
    changes: dict[str, Any],
    start: Path | None,
    teacher_epochs: int,
    name: str,
    folder: Path,
) -> None:
    """Train the recipe of `architecture` with its `changes`, evaluate it, export it to `folder`.

    The teachers that a recipe may have are trained first, `teacher_epochs` each. With `start` the
    network begins with the weights of that model file.
    """
    recipe = Recipe.of(architecture, **changes, start=sha256_of(start) if start else None)
    recipe = _with_votes(recipe, changes, votes.get("Training"))
    chosen = select(splits, votes, recipe.seed)
    print(chosen.said)
    taught = teach(splits["Training"], votes.get("Training"), chosen, recipe)
    if recipe.teachers:
        teachers = folder / "teachers"
        taught = add_teachers(taught, chosen.validation, recipe, teacher_epochs, teachers)
    keras.config.set_dtype_policy(recipe.precision)
    seconds = expected_s(taught, recipe)
    network = build(recipe)
    if start:
        start_from(network, start, chosen.training.x)
    print(f"{architecture}: {network.count_params():,} parameters, {recipe.epochs} epochs")
    print(f"all of them take about {duration(seconds)} on this machine, as busy as it is now")
    fit(network, taught, chosen.validation, recipe, folder / "work")
    if not spread().writes:
        return
    with one_device():
        finish(network, chosen, votes, recipe, name=name, folder=folder)


def finish(
    network: keras.Model,
    chosen: Selection,
    votes: dict[str, Votes],
    recipe: Recipe,
    *,
    name: str,
    folder: Path,
) -> None:
    """Calibrate and evaluate the trained `network` and write its report and export."""
    network = in_float32(network, recipe)
    metrics = calibrate_and_evaluate(network, chosen.validation, votes)
    curves = folder / "work" / "curves.png"
    write_report(metrics, folder / "report", title=f"{name}, the Keras network", curves=curves)
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
    if recipe.votes_head and votes:
        targets = np.hstack([targets, shares(votes.votes)])
    return Taught(
        chosen.training.x,
        targets[chosen.kept],
        class_weights(chosen.training.y, recipe.balance),
    )


def calibrate_and_evaluate(
    network: keras.Model, validation: Split, votes: dict[str, Votes]
) -> dict[str, Any]:
    """Work the temperature that suits `validation` into `network`; then its figures there."""
    classify = keras_classifier(network)
    temperature = fit_temperature(classify(validation.x), validation.y)
    apply_temperature(network, temperature)
    votes_there = votes.get(validation.name)
    return evaluate(classify, validation, votes=votes_there, temperature=temperature)


def expected_s(taught: Taught, recipe: Recipe) -> float:
    """Seconds that all epochs take, from a few timed batches of a network that is thrown away."""
    batches = batches_of(taught, recipe)
    model = compiled(build(recipe), recipe, len(batches))
    x, targets, weights = batches[0]
    for number in range(WARM_UP_BATCHES + TIMED_BATCHES):
        if number == WARM_UP_BATCHES:
            start = time.monotonic()
        model.train_on_batch(x, targets, weights)
    each_s = (time.monotonic() - start) / TIMED_BATCHES
    return each_s * len(batches) * recipe.epochs


def _with_votes(recipe: Recipe, changes: dict[str, Any], votes: Votes | None) -> Recipe:
    """`recipe`, without votes where there are none and nobody asked for them."""
    if votes is not None or not (recipe.votes or recipe.votes_head):
        return recipe
    if changes.get("votes") or changes.get("votes_head"):
        raise DatasetError(f"--votes needs FER+'s {FILE} beside the dataset; put it there.")
    print(f"no {FILE} beside the dataset: targets are FER2013's labels alone")
    return replace(recipe, votes=0.0, votes_head=0.0)
