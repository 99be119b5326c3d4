"""Fits a network to a split: schedule, callbacks, checkpoints; gives the history of epochs."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from train.augment import augmenter
from train.checkpoints import BEST, Backup, Best, load_weights, resume, trim_log, write_text
from train.dataset import LABELS, Split
from train.errors import CheckpointError, TrainError
from train.plots import LivePlot

LOG = "log.csv"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained; `optimizer` is "adam" or "sgd" (Nesterov momentum 0.9)."""

    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int
    label_smoothing: float
    weight_decay: float
    seed: int
    architecture: str

    @classmethod
    def of(cls, architecture: str, *, epochs: int | None, seed: int) -> Recipe:
        """The recipe kept for `architecture`: the seed project's own for `seed`, else SGD."""
        if architecture == "seed":
            return cls("adam", 5e-4, epochs or 30, 64, 0.0, 0.0, seed, architecture)
        return cls("sgd", 0.1, epochs or 32, 128, 0.1, 5e-4, seed, architecture)


def fit(
    network: keras.Model, training: Split, validation: Split, recipe: Recipe, work: Path
) -> dict[str, list[float]]:
    """Train `network` in place; afterwards it holds the weights of the best validation epoch.

    `work` keeps the checkpoints, the CSV log and the live plots; a run that was killed goes on
    from its last whole epoch when called again with the same `work`. Returns the history by
    metric, one value per epoch. Raises CheckpointError where `work` is of another run.
    """
    _prepare(work, recipe, training)
    model = keras.Sequential([keras.Input((48, 48, 1)), augmenter(recipe.seed), network])
    steps = -(-len(training.y) // recipe.batch_size) * recipe.epochs
    model.compile(
        optimizer=_optimizer(recipe, steps),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
    )
    done = resume(model, work)
    trim_log(work / LOG, done)
    if done:
        print(f"{work}: {done} of {recipe.epochs} epochs are done")
    if done < recipe.epochs:
        model.fit(
            training.x,
            one_hot(training),
            batch_size=recipe.batch_size,
            initial_epoch=done,
            epochs=recipe.epochs,
            validation_data=(validation.x, one_hot(validation)),
            callbacks=_callbacks(work, recipe),
            verbose=1 if sys.stdout.isatty() else 2,  # 1 is a bar that is drawn over
        )
    load_weights(model, work / BEST)
    return read_log(work / LOG)


def _prepare(work: Path, recipe: Recipe, training: Split) -> None:
    """Make `work`; raises CheckpointError where it holds a run of another recipe or dataset."""
    record = work / "recipe.json"
    text = json.dumps(asdict(recipe) | {"training_sha256": _sha256(training)}, indent=1)
    if not record.exists():
        work.mkdir(parents=True, exist_ok=True)
        write_text(record, text)
    elif record.read_text() != text:
        raise CheckpointError(
            f"{work}: holds a run of another recipe or dataset; choose another --name, "
            "or remove that folder."
        )


def _sha256(split: Split) -> str:
    digest = hashlib.sha256(split.x.tobytes())
    digest.update(split.y.tobytes())
    return digest.hexdigest()


def one_hot(split: Split) -> NDArray[np.float32]:
    """Labels as (n, 7) float32."""
    return np.eye(len(LABELS), dtype=np.float32)[split.y]


def read_log(path: Path) -> dict[str, list[float]]:
    """A CSV log of Keras as {metric: values by epoch}."""
    header, *rows = [line.split(",") for line in path.read_text().splitlines() if line]
    return {name: [float(row[i]) for row in rows] for i, name in enumerate(header)}


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(recipe.learning_rate)
    warm_up = steps // max(10, recipe.epochs // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=steps - warm_up,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.SGD(
        schedule, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


class _TimeLeft(keras.callbacks.Callback):  # type: ignore[misc]
    """Prints before every epoch but the first how long the rest takes at the pace so far."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs
        self._begun: tuple[int, float] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        now = time.monotonic()
        if self._begun is None:
            self._begun = epoch, now
            return
        first, start = self._begun
        each_s = (now - start) / (epoch - first)
        print(f"{each_s:.0f} s an epoch, {_duration((self._epochs - epoch) * each_s)} to go")


class _StopAtNaN(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a run whose loss left the numbers before its weights reach a checkpoint."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if not np.isfinite((logs or {})["loss"]):
            raise TrainError("the loss is no longer a number; train again with another --seed.")


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _callbacks(work: Path, recipe: Recipe) -> list[keras.callbacks.Callback]:
    """In this order: the backup comes last, so that it never counts an epoch not yet logged."""
    return [
        _TimeLeft(recipe.epochs),
        Best(work),
        keras.callbacks.CSVLogger(str(work / LOG), append=True),
        LivePlot(work / LOG, work / "curves.png"),
        Backup(work),
        _StopAtNaN(),
    ]
