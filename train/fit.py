"""Fits a network to a split: schedule, callbacks, checkpoints; gives the history of epochs."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from train.augment import augmenter
from train.dataset import LABELS, Split
from train.plots import LivePlot

BEST_WEIGHTS = "best.weights.h5"


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
    metric, one value per epoch.
    """
    _prepare(work, recipe)
    model = keras.Sequential([keras.Input((48, 48, 1)), augmenter(recipe.seed), network])
    steps = -(-len(training.y) // recipe.batch_size) * recipe.epochs
    model.compile(
        optimizer=_optimizer(recipe, steps),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
    )
    log = work / "log.csv"
    model.fit(
        training.x,
        one_hot(training),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        validation_data=(validation.x, one_hot(validation)),
        callbacks=_callbacks(work, log),
        verbose=1,
    )
    model.load_weights(work / BEST_WEIGHTS)
    return read_log(log)


def _prepare(work: Path, recipe: Recipe) -> None:
    """Keep the checkpoints in `work` if they are of this very recipe, else start anew."""
    record = work / "recipe.json"
    text = json.dumps(asdict(recipe), indent=1)
    if work.exists() and (not record.exists() or record.read_text() != text):
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    record.write_text(text)


def one_hot(split: Split) -> np.ndarray:
    """Labels as (n, 7) float32."""
    return keras.utils.to_categorical(split.y, len(LABELS)).astype(np.float32)


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


class _BestSoFar(keras.callbacks.ModelCheckpoint):
    """ModelCheckpoint that remembers the best value over a resumed run."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            str(path),
            monitor="val_accuracy",
            mode="max",
            save_best_only=True,
            save_weights_only=True,
        )
        self._record = path.with_suffix(".json")
        if self._record.exists():
            self.best = json.loads(self._record.read_text())["val_accuracy"]

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        before = self.best
        super().on_epoch_end(epoch, logs)
        if self.best != before:
            self._record.write_text(json.dumps({"epoch": epoch, "val_accuracy": self.best}))


def _callbacks(work: Path, log: Path) -> list[keras.callbacks.Callback]:
    return [
        _BestSoFar(work / BEST_WEIGHTS),
        keras.callbacks.CSVLogger(str(log), append=True),
        LivePlot(log, work / "curves.png"),
        keras.callbacks.BackupAndRestore(str(work / "backup"), delete_checkpoint=False),
        keras.callbacks.TerminateOnNaN(),
    ]
