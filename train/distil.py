"""Adds the answers of teachers to a student's training set: trained here, or read from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from train.checkpoints import save_array
from train.dataset import Split
from train.devices import one_device
from train.errors import ModelFileError
from train.fit import fit
from train.label_sets import FERPLUS
from train.loading import keras_classifier, load_model
from train.losses import soften
from train.networks import build, heads_in_float32
from train.recipe import Recipe
from train.scores import Classify, Faces
from train.targets import TrainingSet, labels_by_votes
from train.warm_start import sha256_of

ANSWERS = "answers.npy"
MIN_PROBABILITY = 1e-6  # of a class, so that one teacher alone cannot rule it out

Answers = NDArray[np.float32]  # probabilities (n, classes) of all training faces


def add_teachers(
    training: TrainingSet,
    validation: Split,
    recipe: Recipe,
    epochs: int,
    folder: Path,
    *,
    files: Sequence[Path],
    shares: NDArray[np.float32] | None,
) -> TrainingSet:
    """Return `training` with the softened answers of the recipe's teachers added to its targets.

    The teachers are `files`, exports or TFLite files; each teaches the head of the labels that it
    learned. Without files they are trained one after another with different seeds, `epochs` each,
    in `folder`/1, 2 and so on. Called again, each training continues after its last epoch; a
    finished teacher only gives its answers. `shares` are those of FER+'s votes on `validation`.

    The answers to a head are the geometric mean of its teachers' answers. With a votes head, FER+'s
    votes on a face are one more teacher of the labels, because they contain what no network sees
    (Lopez-Paz et al., Unifying distillation and privileged information, arXiv:1511.03643).
    Raises ModelFileError if a file cannot be read, or a head has no teacher.
    """
    heads: list[list[Answers]] = [[] for _ in range(2 if recipe.votes_head else 1)]
    for path in files:
        number, answers = _of_file(path, training.x, recipe, folder)
        heads[number].append(answers)
    for number in range(1, recipe.teachers + 1 if not files else 0):
        own = _recipe(recipe, number, epochs)
        both = _answers(training, validation, own, folder / str(number), shares)
        for taught, answers in zip(heads, np.split(both, len(heads), axis=1), strict=True):
            taught.append(answers)
    if not all(heads):
        missing = "FER+'s votes" if heads[0] else "the dataset's labels"
        raise ModelFileError(
            f"{files[0]}: none of the teachers learned {missing}; add one that did, "
            "or train with --votes-head 0."
        )
    if recipe.votes_head:
        labels, votes, *_ = np.split(training.targets, len(heads), axis=1)
        heads[0].append(labels_by_votes(labels.argmax(axis=1), votes))
    softened = [soften(_mean(each), recipe.teacher_temperature) for each in heads]
    return replace(training, targets=np.hstack([training.targets, *softened]))


def _mean(answers: list[Answers]) -> Answers:
    """Return the geometric mean of the `answers`, with rows that sum to 1."""
    logs = np.mean([np.log(np.maximum(each, MIN_PROBABILITY)) for each in answers], axis=0)
    powers = np.exp(logs)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def _of_file(path: Path, x: Faces, recipe: Recipe, folder: Path) -> tuple[int, Answers]:
    """Return the number of the head that the model in `path` teaches, and its answers.

    The answers are stored in `folder`, so that a resumed training uses exactly the same.
    """
    teacher = load_model(path, recipe.labels)
    head = int(recipe.votes_head > 0 and teacher.annotations == FERPLUS)
    kept = folder / f"{sha256_of(path)}.npy"
    if not kept.exists():
        print(f"asking {path} about {len(x)} faces and their mirror images …", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        save_array(kept, _of_both_sides(teacher.classify, x))
    return head, np.asarray(np.load(kept), dtype=np.float32)


def _of_both_sides(classify: Classify, x: Faces) -> Answers:
    """Return the mean of the probabilities of each face and of its mirror image."""
    return np.asarray((classify(x) + classify(x[:, :, ::-1])) / 2, dtype=np.float32)


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
) -> Answers:
    """Train a teacher; return its probabilities (n, classes × heads), see `_of_both_sides`."""
    keras.config.set_dtype_policy(recipe.precision)
    network = build(recipe)
    print(f"teacher in {folder}: {recipe.architecture}, {network.count_params():,} parameters")
    fit(network, training, validation, recipe, folder, shares=shares)
    if not (folder / ANSWERS).exists():
        with one_device():
            heads = heads_in_float32(network, recipe).values()
            answers = [_of_both_sides(keras_classifier(head), training.x) for head in heads]
        save_array(folder / ANSWERS, np.hstack(answers))
    return np.asarray(np.load(folder / ANSWERS), dtype=np.float32)
