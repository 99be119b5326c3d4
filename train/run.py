"""Runs a whole training: selects faces, trains, calibrates, evaluates and exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from train.calibration import apply_temperature, fit_temperature
from train.dataset import LABELS, VOTES_FILE, WITH_CONTEMPT, Split
from train.devices import one_device, sharding
from train.distil import add_teachers
from train.errors import DatasetError
from train.evaluate import evaluate, headline
from train.export import export
from train.ferplus import Votes, vote_shares
from train.fit import fit
from train.label_sets import FERPLUS, label_sets
from train.loading import keras_classifier
from train.networks import VOTES, build, heads_in_float32, without_contempt
from train.recipe import Recipe
from train.report import write_report
from train.selection import Selection, select
from train.targets import make_training_set
from train.warm_start import SUFFIX, load_start, sha256_of


def run(
    splits: dict[str, Split],
    votes: dict[str, Votes],
    *,
    architecture: str,
    changes: dict[str, Any],
    start: Path | None,
    teacher_files: Sequence[Path],
    teacher_epochs: int,
    name: str,
    folder: Path,
) -> None:
    """Train `architecture` with its recipe and `changes`, evaluate it, and export it to `folder`.

    The teachers of the recipe, if any, are `teacher_files`; without files they are trained first,
    `teacher_epochs` each. With `start` the network begins with the weights of that model file or
    export. With a votes head there are two exports: `folder` for FER+'s votes and `folder`-fer2013
    for FER2013's labels.
    """
    changes = changes | {
        "start": sha256_of(start) if start else None,
        "teacher_files": tuple(map(sha256_of, teacher_files)),
        "labels": splits["Training"].labels,
    }
    recipe = _without_missing_votes(Recipe.of(architecture, **changes), changes, votes)
    _check_contempt(splits["Training"], recipe)
    faces = sum(len(split.y) for split in splits.values())
    print(f"looking for copies among {faces} faces …", flush=True)
    selection = select(splits, votes, recipe.seed)
    print(selection.summary)
    shares = None
    if selection.validation_votes:
        shares = vote_shares(selection.validation_votes.counted())
    elif recipe.votes_head:
        raise DatasetError(
            f"{VOTES_FILE}: has no votes on {selection.validation.name}, which chooses the epoch; "
            "use the whole file, or train with --votes-head 0."
        )
    training = make_training_set(selection, votes.get("Training"), recipe)
    if recipe.teachers:
        training = add_teachers(
            training, selection.validation, recipe, teacher_epochs, folder / "teachers",
            files=teacher_files, shares=shares,
        )  # fmt: skip
    keras.config.set_dtype_policy(recipe.precision)
    print("preparing the training: some seconds to a minute …", flush=True)
    network = build(recipe)
    if start:
        load_start(network, recipe, start, selection.training.x)
    print(f"{architecture}: {network.count_params():,} parameters, {recipe.epochs} epochs")
    fit(network, training, selection.validation, recipe, folder / "work", shares=shares)
    if not sharding().writes:
        return
    with one_device():
        finish(network, selection, recipe, name=name, folder=folder)


def finish(
    trained: keras.Model, selection: Selection, recipe: Recipe, *, name: str, folder: Path
) -> None:
    """Calibrate and evaluate each head of the `trained` network; write its report and export."""
    heads = heads_in_float32(trained, recipe)
    for head, network in heads.items():
        source = FERPLUS if head == VOTES else selection.validation.dataset
        suffix = SUFFIX if len(heads) > 1 and head != VOTES else ""
        own_name, own_folder = name + suffix, folder.with_name(folder.name + suffix)
        print(f"calibrating and evaluating {own_name} …", flush=True)
        chosen = selection
        if len(heads) > 1 and head != VOTES and recipe.labels == WITH_CONTEMPT:
            # No label of FER2013 is contempt.
            network, chosen = without_contempt(network, recipe), selection.among(LABELS)  # noqa: PLW2901
        metrics = calibrate_and_evaluate(network, chosen, source)
        title = f"{own_name}, the Keras network"
        report, work = own_folder / "report", folder / "work"
        write_report(metrics, chosen.validation, report, title=title, work=work)
        export(network, recipe, chosen, metrics, name=own_name, folder=own_folder)
        print(f"{own_name}: {headline(metrics)}")
        print(f"wrote {own_folder}")
    print(f"next: make convert NAME={name}")


def calibrate_and_evaluate(
    network: keras.Model, selection: Selection, annotations: str
) -> dict[str, Any]:
    """Fit a temperature for `network` on the validation faces, apply it, and return the figures.

    `annotations` names the labels that the network learned. If it learned FER+'s votes, the
    temperature is fitted to the shares of the votes.
    """
    validation, votes = selection.validation, selection.validation_votes
    classify = keras_classifier(network)
    sets = label_sets(validation, votes)
    own = sets[annotations]
    probabilities = classify(validation.x[own.rows])
    temperature = fit_temperature(probabilities, own.targets(len(validation.labels)))
    apply_temperature(network, temperature)
    return evaluate(
        classify, validation, votes=votes, annotations=annotations, temperature=temperature
    )


def _without_missing_votes(
    recipe: Recipe, changes: dict[str, Any], votes: dict[str, Votes]
) -> Recipe:
    """Return `recipe`, without a votes head if there are no votes and none was requested."""
    if "Training" in votes or not recipe.votes_head:
        return recipe
    if changes.get("votes_head"):
        raise DatasetError(
            f"--votes-head needs FER+'s {VOTES_FILE} beside the dataset; put it there."
        )
    print(f"no {VOTES_FILE} beside the dataset: training one head, for the labels")
    return replace(recipe, votes_head=0.0)


def _check_contempt(training: Split, recipe: Recipe) -> None:
    """Raise DatasetError if a network for contempt would not get any face with this label."""
    if training.labels == WITH_CONTEMPT and not (training.counts[-1] or recipe.votes_head):
        raise DatasetError(
            f"{training.dataset}: no label is contempt, only FER+'s votes are; put {VOTES_FILE} "
            "beside the dataset and train with --votes-head 0.5, or train without --contempt."
        )
