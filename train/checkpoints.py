"""Keeps the files in a training's work folder with which it can continue; writes them atomically.

Keras' own BackupAndRestore and ModelCheckpoint write in place, so that a process killed meanwhile
leaves a broken file. The optimizer's step count in the saved state tells how many epochs are done.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.errors import CheckpointError

BEST = "best.weights.h5"
LATEST = "latest.weights.h5"
LOCK = "lock"


class BestWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves the weights of the epoch with the highest validation accuracy, also over resumed runs.

    With two heads, the mean of their accuracies counts. If the optimizer averages weights, the
    average is validated and saved.
    """

    def __init__(self, work: Path) -> None:
        super().__init__()
        self._weights = work / BEST
        self._record = self._weights.with_suffix(".json")
        self._best = -1.0
        if self._record.exists() and self._weights.exists():
            self._best = json.loads(self._record.read_text())["val_accuracy"]

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        accuracy = validation_accuracy(logs or {})
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


def validation_accuracy(logs: dict[str, float]) -> float:
    """Return the accuracy that chooses the epoch: on the validation split, the mean of heads."""
    heads = [logs[name] for name in ("val_accuracy", "val_votes_accuracy") if name in logs]
    return sum(heads) / len(heads)


class LatestState(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves the weights and the optimizer's state after every epoch."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        self._work = work

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        save_weights(self.model, self._work / LATEST)


def resume(model: keras.Model, work: Path, batches: int) -> int:
    """Load the latest state in `work`, if any; return how many epochs of `batches` are done."""
    model.optimizer.build(model.trainable_variables)  # otherwise its state would not be loaded
    if not (work / LATEST).exists():
        return 0
    load_weights(model, work / LATEST)
    return int(model.optimizer.iterations) // batches


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Lock `work` for this process. Raises CheckpointError if another one trains there."""
    with (work / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            process = file.read().strip() or "another process"
            raise CheckpointError(
                f"{work}: {process} is training there; wait for it, stop it, or choose another "
                "--name."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield


def read_log(path: Path) -> dict[str, list[float]]:
    """Return a CSV log of Keras as {metric: values by epoch}."""
    header, *rows = _log_rows(path)
    return {name: [float(row[i]) for row in rows] for i, name in enumerate(header)}


def trim_log(log: Path, epochs: int) -> None:
    """Keep only the complete rows of the first `epochs` epochs of the CSV log.

    The process may have been killed between a row and the saved state, or the power cut in a row.
    """
    if not log.exists():
        return
    header, *rows = _log_rows(log) or [[]]
    kept = [row for row in rows if len(row) == len(header) and _is_epoch(row[0], epochs)]
    text = io.StringIO()
    if header:
        csv.writer(text).writerows([header, *kept])
    write_text(log, text.getvalue())


def _log_rows(path: Path) -> list[list[str]]:
    """Return the rows of a CSV log, the header first, without zero bytes of a power cut."""
    with path.open(newline="", errors="replace") as text:
        return [row for row in csv.reader(line.replace("\0", "") for line in text) if row]


def _is_epoch(text: str, epochs: int) -> bool:
    return text.isdecimal() and int(text) < epochs


def load_weights(model: keras.Model, path: Path) -> None:
    """Load `path` into `model`. Raises CheckpointError if it is missing, broken or does not fit."""
    try:
        model.load_weights(path)
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"{path}: cannot be read ({reason}); remove its folder to train from the start."
        ) from error


def save_weights(model: keras.Model, path: Path) -> None:
    """Save the weights through memory, because HDF5 itself crashes on a full disk."""
    memory = _InMemory()
    model.save_weights(memory)
    write_bytes(path, memory.getvalue())


class _InMemory(io.BytesIO):
    def __str__(self) -> str:
        return "memory.weights.h5"  # Keras requires that suffix


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Replace the content of `path` by an array, as `write_bytes` does."""
    memory = io.BytesIO()
    np.save(memory, array)
    write_bytes(path, memory.getvalue())


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` by `text`, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of `path`. Raises CheckpointError and changes nothing if that fails."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # otherwise a power cut could keep the name and lose the bytes
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror}); fix that and run the same command "
            "again."
        ) from error
