"""Fits a network to a split: schedule, callbacks, checkpoints; gives the history of epochs."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
from numpy.typing import NDArray

from train.augment import augmenter
from train.batches import Batches, Taught
from train.checkpoints import BEST, Backup, Best, load_weights, resume, trim_log, write_text
from train.dataset import Split
from train.devices import spread
from train.errors import CheckpointError, TrainError
from train.losses import accuracy, loss_of, truth
from train.networks import with_votes_head
from train.progress import Progress
from train.recipe import Recipe

LOG = "log.csv"
VALIDATION_BATCH = 256

Watchers = Sequence[keras.callbacks.Callback]


def fit(
    network: keras.Model,
    taught: Taught,
    validation: Split,
    recipe: Recipe,
    work: Path,
    *,
    watchers: Watchers = (),
) -> dict[str, list[float]]:
    """Train `network` in place; afterwards it holds the weights of the best validation epoch.

    `work` keeps the checkpoints, the logs and the live page; `watchers` come after the page. A run
    that was killed goes on from its last whole epoch when called again with the same `work`, to
    the result that it would have had. Returns the history by metric, one value per epoch. Raises
    CheckpointError where `work` is of another run. Of several processes that train together the
    first one alone writes there.
    """
    across = spread()
    across.check(recipe.batch_size)
    if across.writes:
        _prepare(work, recipe, taught)
        return _fit(network, taught, validation, recipe, work, watchers=watchers)
    with TemporaryDirectory() as folder:
        own = Path(folder) / "work"
        if work.exists():
            shutil.copytree(work, own, ignore=shutil.ignore_patterns("*partial*"))
        own.mkdir(exist_ok=True)
        return _fit(network, taught, validation, recipe, own, watchers=watchers)


def _fit(
    network: keras.Model,
    taught: Taught,
    validation: Split,
    recipe: Recipe,
    work: Path,
    *,
    watchers: Watchers,
) -> dict[str, list[float]]:
    """What every process does alike: JAX compares all that they bring to their devices."""
    batches = batches_of(taught, recipe)
    for part, (last, strength) in enumerate(phases(recipe)):
        model = compiled(network, recipe, len(batches), strength)
        done = resume(model, work, len(batches))
        trim_log(work / LOG, done)
        if done and not part:
            print(f"{work}: {done} of {recipe.epochs} epochs are done")
        if done >= last:
            continue
        batches.next_epoch = done
        model.fit(
            batches,
            initial_epoch=done,
            epochs=recipe.epochs,
            validation_data=_padded(validation, recipe, VALIDATION_BATCH),
            validation_batch_size=VALIDATION_BATCH,
            callbacks=[*_callbacks(work, recipe, watchers), _StopAfter(last)],
            shuffle=False,  # Batches does it
            verbose=1 if sys.stdout.isatty() else 2,  # 1 is a bar that is drawn over
        )
    load_weights(model, work / BEST)
    return read_log(work / LOG)


def phases(recipe: Recipe) -> list[tuple[int, float]]:
    """The last epoch of each part of the training, and the strength of its augmentation.

    The last third is the harder one where the recipe says so: while the rate falls a network
    begins to learn faces by heart. After Tan and Le, EfficientNetV2, arXiv:2104.00298, section 4.
    """
    if recipe.hardening == 1.0:
        return [(recipe.epochs, 1.0)]
    return [(round(recipe.epochs * 2 / 3), 1.0), (recipe.epochs, recipe.hardening)]


def batches_of(taught: Taught, recipe: Recipe) -> Batches:
    """The batches of an epoch of `recipe`, as this process feeds them."""
    return Batches(taught, recipe.batch_size, mixup=recipe.mixup, seed=recipe.seed, spread=spread())


def _padded(
    validation: Split, recipe: Recipe, batch_size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Faces, targets and weights in whole batches; what fills up the last one weighs nothing."""
    n = len(validation.y)
    rows = np.arange(math.ceil(n / batch_size) * batch_size) % n
    weights = (np.arange(len(rows)) < n).astype(np.float32)
    return validation.x[rows], truth(validation.y[rows], recipe), weights


def compiled(
    network: keras.Model, recipe: Recipe, batches: int, strength: float = 1.0
) -> keras.Model:
    """`network` behind the augmentation, ready for `recipe.epochs` of so many `batches`."""
    augment = augmenter(recipe.seed, strength)
    taught = with_votes_head(network) if recipe.votes_head else network
    model = keras.Sequential([keras.Input((48, 48, 1)), augment, taught])
    model.compile(
        optimizer=_optimizer(recipe, batches * recipe.epochs),
        loss=loss_of(recipe),
        weighted_metrics=[accuracy],
    )
    return model


def _prepare(work: Path, recipe: Recipe, taught: Taught) -> None:
    """Make `work`; raises CheckpointError where it holds a run of another recipe or dataset."""
    record = work / "recipe.json"
    text = json.dumps(asdict(recipe) | {"training_sha256": taught.sha256()}, indent=1)
    if not record.exists():
        work.mkdir(parents=True, exist_ok=True)
        write_text(record, text)
    elif record.read_text() != text:
        raise CheckpointError(
            f"{work}: holds a run of another recipe or dataset; choose another --name, "
            "or remove that folder."
        )


def read_log(path: Path) -> dict[str, list[float]]:
    """A CSV log of Keras as {metric: values by epoch}."""
    header, *rows = [line.split(",") for line in path.read_text().splitlines() if line]
    return {name: [float(row[i]) for row in rows] for i, name in enumerate(header)}


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    averaging = {"use_ema": True, "ema_momentum": recipe.average} if recipe.average else {}
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(recipe.learning_rate, **averaging)
    warm_up = steps // max(10, recipe.epochs // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=steps - warm_up,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.SGD(
        schedule, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay, **averaging
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


class _Reseed(keras.callbacks.Callback):  # type: ignore[misc]
    """Lets what the layers draw at random follow from seed and epoch, as Batches does."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        states = [v for v in self.model.variables if "seed_generator" in v.path]
        for number, state in enumerate(states):
            state.assign([self._seed + number, epoch * 2**16])  # more draws than an epoch takes


class _StopAfter(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a part of the training with its last epoch, though Keras speaks of all epochs."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self._last = last

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch + 1 == self._last:
            self.model.stop_training = True


class _StopAtNaN(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a run whose loss left the numbers before its weights reach a checkpoint."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if not np.isfinite((logs or {})["loss"]):
            raise TrainError("the loss is no longer a number; train again with another --seed.")


def _tensorboard(work: Path) -> list[keras.callbacks.Callback]:
    """TensorBoard's log, where TensorFlow and the tensorboard package are there to write it."""
    if not (find_spec("tensorflow") and find_spec("tensorboard")):
        return []
    return [keras.callbacks.TensorBoard(str(work / "tensorboard"), write_graph=False)]


def _callbacks(work: Path, recipe: Recipe, watchers: Watchers) -> list[keras.callbacks.Callback]:
    """In this order: the backup comes last, so that it never counts an epoch not yet logged."""
    averaging = [keras.callbacks.SwapEMAWeights()] if recipe.average else []
    return [
        _Reseed(recipe.seed),
        _StopAtNaN(),
        *averaging,
        Best(work),
        keras.callbacks.CSVLogger(str(work / LOG), append=True),
        Progress(work, work / LOG, asdict(recipe)),
        *_tensorboard(work),
        *watchers,
        Backup(work),
    ]
