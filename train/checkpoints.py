"""What a training leaves in its work folder to go on from, each file written whole or not at all.

Keras' own BackupAndRestore and ModelCheckpoint write in place, so that a kill in the middle leaves
a broken file. The backup says by the optimizer's steps how many epochs are behind it.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.errors import CheckpointError

BEST = "best.weights.h5"
BACKUP = "latest.weights.h5"


class Best(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the weights of the best validation accuracy, over resumed runs too.

    Where the optimizer averages weights, it is the average that was validated and is kept.
    """

    def __init__(self, work: Path) -> None:
        super().__init__()
        self._weights = work / BEST
        self._record = self._weights.with_suffix(".json")
        self._best = -1.0
        if self._record.exists() and self._weights.exists():
            self._best = json.loads(self._record.read_text())["val_accuracy"]

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        accuracy = (logs or {})["val_accuracy"]
        if accuracy > self._best:
            self._best = accuracy
            self._save()
            write_text(self._record, json.dumps({"epoch": epoch, "val_accuracy": accuracy}))

    def _save(self) -> None:
        variables = self.model.trainable_variables
        newest = [keras.ops.convert_to_numpy(v) for v in variables]
        self.model.optimizer.finalize_variable_values(variables)  # the average, if there is one
        save_weights(self.model, self._weights)
        for variable, value in zip(variables, newest, strict=True):
            variable.assign(value)


class Backup(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the newest state, the optimizer's included."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        self._work = work

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        save_weights(self.model, self._work / BACKUP)


def resume(model: keras.Model, work: Path, batches: int) -> int:
    """Load the backup in `work`, if there is one; returns how many epochs of `batches` made it."""
    model.optimizer.build(model.trainable_variables)  # else its state would not be loaded
    if not (work / BACKUP).exists():
        return 0
    load_weights(model, work / BACKUP)
    return int(model.optimizer.iterations) // batches


def trim_log(log: Path, epochs: int) -> None:
    """Drop the rows after `epochs` from the CSV log: a kill came between them and the backup."""
    if log.exists():
        lines = log.read_text().splitlines(keepends=True)
        write_text(log, "".join(lines[: 1 + epochs]))


def load_weights(model: keras.Model, path: Path) -> None:
    """Load `path` into `model`; raises CheckpointError where it is missing, broken or another's."""
    try:
        model.load_weights(path)
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"{path}: cannot be read ({reason}); remove its work folder to train from the start."
        ) from error


def save_weights(model: keras.Model, path: Path) -> None:
    """Made in memory and then written by write_bytes: HDF5 itself crashes on a full disk."""
    memory = _InMemory()
    model.save_weights(memory)
    write_bytes(path, memory.getvalue())


class _InMemory(io.BytesIO):
    def __str__(self) -> str:
        return "memory.weights.h5"  # Keras wants that ending


def save_array(path: Path, array: NDArray[Any]) -> None:
    """As write_bytes."""
    memory = io.BytesIO()
    np.save(memory, array)
    write_bytes(path, memory.getvalue())


def write_text(path: Path, text: str) -> None:
    """As write_bytes."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` in place of what `path` held; raises CheckpointError where it keeps the old."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else the name could outlive a power cut and the bytes not
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror}); mend that and run the same command "
            "again."
        ) from error
