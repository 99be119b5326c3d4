"""Fits a network to a training set: learning-rate schedule, callbacks and checkpoints."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from train.augment import augmenter
from train.batches import Batches
from train.checkpoints import (
    BEST,
    BestWeights,
    LatestState,
    load_weights,
    locked,
    read_log,
    resume,
    trim_log,
    write_text,
)
from train.curves import LOG
from train.dataset import Split
from train.devices import sharding
from train.errors import CheckpointError, TrainError
from train.losses import HeadsLoss, metrics_of
from train.progress import Progress
from train.recipe import Recipe
from train.targets import TrainingSet, validation_targets

VALIDATION_BATCH = 256

Watchers = Sequence[keras.callbacks.Callback]
Weighted = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]


def fit(
    network: keras.Model,
    training: TrainingSet,
    validation: Split,
    recipe: Recipe,
    work: Path,
    *,
    shares: NDArray[np.float32] | None = None,
    watchers: Watchers = (),
) -> dict[str, list[float]]:
    """Train `network`, built by `networks.build`, in place; it ends with the best epoch's weights.

    `shares` (n, classes) are those of FER+'s votes on `validation`, if available. `work` is the
    folder of the checkpoints, the log and the live page; `watchers` are called after the page is
    written. Called again with the same `work`, a run that was killed continues after its last
    complete epoch, with the same result as an uninterrupted run. Returns the history by metric, one
    value per epoch. Raises CheckpointError if `work` belongs to another run. If several processes
    train together, only the first writes there.
    """
    across = sharding()
    across.check(recipe.batch_size)
    weighted = _padded(validation, shares, recipe)
    if across.writes:
        work.mkdir(parents=True, exist_ok=True)
        with locked(work):
            _check_run(work, recipe, training)
            return _fit(network, training, weighted, recipe, work, watchers=watchers)
    with TemporaryDirectory() as folder:
        own = Path(folder) / "work"
        if work.exists():
            shutil.copytree(work, own, ignore=shutil.ignore_patterns("*partial*"))
        own.mkdir(exist_ok=True)
        return _fit(network, training, weighted, recipe, own, watchers=watchers)


def _fit(
    network: keras.Model,
    training: TrainingSet,
    validation: Weighted,
    recipe: Recipe,
    work: Path,
    *,
    watchers: Watchers,
) -> dict[str, list[float]]:
    """Train and return the history; every process must do the same, because JAX compares them."""
    batches = batches_of(training, recipe)
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
            validation_data=validation,
            validation_batch_size=VALIDATION_BATCH,
            callbacks=[*_callbacks(work, recipe, watchers), _StopAfter(last)],
            shuffle=False,  # Batches shuffles
            verbose=0,  # Progress prints
        )
    load_weights(model, work / BEST)
    return read_log(work / LOG)


def phases(recipe: Recipe) -> list[tuple[int, float]]:
    """Return the last epoch of each part of the training, and the strength of its augmentation.

    With `hardening` the augmentation is stronger in the last third, because a network begins to
    memorize faces as the learning rate falls. After Tan and Le, EfficientNetV2, arXiv:2104.00298,
    section 4.
    """
    if recipe.hardening == 1.0:
        return [(recipe.epochs, 1.0)]
    first = round(recipe.epochs * 2 / 3)
    return [(first, 1.0), (recipe.epochs, recipe.hardening)]


def batches_of(training: TrainingSet, recipe: Recipe) -> Batches:
    """Return the batches of an epoch of `recipe` that this process feeds."""
    return Batches(
        training,
        recipe.batch_size,
        mixup=recipe.mixup,
        mixup_epochs=recipe.mixup_epochs,
        seed=recipe.seed,
        sharding=sharding(),
    )


def _padded(validation: Split, shares: NDArray[np.float32] | None, recipe: Recipe) -> Weighted:
    """Return faces, targets and weights in whole batches.

    The rows that fill up the last batch have the weight 0; the others weigh more than 1, so that
    Keras' mean over all rows is the mean over the real ones.
    """
    n = len(validation.y)
    rows = np.arange(math.ceil(n / VALIDATION_BATCH) * VALIDATION_BATCH) % n
    weights = (np.arange(len(rows)) < n) * np.float32(len(rows) / n)
    targets = validation_targets(validation.y, len(recipe.labels), shares, recipe)
    return validation.x[rows], targets[rows], weights


def compiled(
    network: keras.Model, recipe: Recipe, batches: int, strength: float = 1.0
) -> keras.Model:
    """Compile the augmentation with `network`, for `recipe.epochs` of `batches` batches each."""
    augment = augmenter(recipe.seed, strength)
    model = keras.Sequential([keras.Input((48, 48, 1)), augment, network])
    model.compile(
        optimizer=_optimizer(recipe, batches * recipe.epochs),
        loss=HeadsLoss(recipe),
        weighted_metrics=metrics_of(recipe),
    )
    return model


class AveragingSGD(keras.optimizers.SGD):  # type: ignore[misc]
    """SGD with a warm-up of the weights' moving average: momentum min(m, (1 + n) / (10 + n)).

    Without the warm-up, the average of a short training consists mostly of the random initial
    weights. TensorFlow's ExponentialMovingAverage does the same with `num_updates`.
    """

    @property
    def ema_momentum(self) -> Any:
        """The momentum of the next update."""
        n = ops.cast(self.iterations, "float32")
        return ops.minimum(self._largest_momentum, (1.0 + n) / (10.0 + n))

    @ema_momentum.setter
    def ema_momentum(self, largest: float) -> None:
        self._largest_momentum = largest


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
    optimizer = AveragingSGD(
        schedule, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay, **averaging
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _check_run(work: Path, recipe: Recipe, training: TrainingSet) -> None:
    """Raise CheckpointError if `work` contains a run of another recipe or dataset."""
    record = work / "recipe.json"
    settings = recipe.as_json() | {"labels": recipe.labels, "training_sha256": training.sha256()}
    text = json.dumps(settings, indent=1)
    if not record.exists():
        write_text(record, text)
    elif record.read_text() != text:
        raise CheckpointError(
            f"{work}: contains a run of another recipe or dataset; continue that one with its own "
            "options, choose another --name, or remove the folder."
        )


class _Reseed(keras.callbacks.Callback):  # type: ignore[misc]
    """Derives the layers' random numbers from seed and epoch, as those of Batches."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        states = [v for v in self.model.variables if "seed_generator" in v.path]
        for number, state in enumerate(states):
            state.assign([self._seed + number, epoch * 2**16])  # more numbers than an epoch draws


class _StopAfter(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a phase of the training after its last epoch."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self._last = last

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch + 1 == self._last:
            self.model.stop_training = True


class _LearningRate(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds the learning rate at the end of an epoch to the log."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))


class StopAtNaN(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a run whose loss is not finite, before its weights reach a checkpoint."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if not np.isfinite((logs or {})["loss"]):
            raise TrainError("the loss is no longer a number; train again with another --seed.")


def _tensorboard(work: Path) -> list[keras.callbacks.Callback]:
    """Return TensorBoard's callback if its packages are installed, else nothing."""
    if not (find_spec("tensorflow") and find_spec("tensorboard")):
        return []
    return [keras.callbacks.TensorBoard(str(work / "tensorboard"), write_graph=False)]


def _callbacks(work: Path, recipe: Recipe, watchers: Watchers) -> list[keras.callbacks.Callback]:
    """Return the callbacks; the state is saved last, so it never counts an epoch not yet logged."""
    averaging = [keras.callbacks.SwapEMAWeights()] if recipe.average else []
    return [
        _Reseed(recipe.seed),
        StopAtNaN(),
        *averaging,
        BestWeights(work),
        _LearningRate(),
        keras.callbacks.CSVLogger(str(work / LOG), append=True),
        Progress(work, recipe.as_json()),
        *_tensorboard(work),
        *watchers,
        LatestState(work),
    ]
