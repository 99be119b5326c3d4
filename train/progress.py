"""Shows the progress of a training: lines, curves and a page that reloads itself."""

from __future__ import annotations

import io
import json
import math
import sys
import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras

from train.checkpoints import BEST, write_bytes, write_text
from train.page import image, page, section, table
from train.plots import plot_curves

PAGE, CURVES = "index.html", "curves.png"
RELOAD_S = 10
LINE_S = 60.0  # between lines within an epoch


class Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """Draws `curves.png` and writes `index.html` in `work` after every epoch.

    Before every epoch but the first it prints how long the rest takes at the present speed.
    """

    def __init__(self, work: Path, log: Path, recipe: dict[str, Any]) -> None:
        """`log` is Keras' CSV log, `recipe` the settings that the page shows under the curves."""
        super().__init__()
        self._work, self._log, self._recipe = work, log, recipe
        self._epochs: int = recipe["epochs"]
        self._marks_s: list[float] = []  # the start, then the end of each epoch
        self._printed_s = 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._marks_s = [time.monotonic()]

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Print a line now and then where there is no terminal for Keras' bar."""
        now_s = time.monotonic()
        if not sys.stdout.isatty() and now_s - self._printed_s > LINE_S:
            self._printed_s = now_s
            loss = (logs or {}).get("loss", math.nan)
            print(f"batch {batch + 1} of {self.params['steps']}, loss {loss:.3f}")

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._printed_s = time.monotonic()
        if each_s := self._epoch_s():
            left = duration((self._epochs - epoch) * each_s)
            print(f"{each_s:.0f} s an epoch, {left} to go")
        else:
            self._write_page(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._marks_s.append(time.monotonic())
        curves = io.BytesIO()
        plot_curves(self._log, curves)
        write_bytes(self._work / CURVES, curves.getvalue())
        self._write_page(epoch + 1)

    def _epoch_s(self) -> float:
        """Mean seconds of an epoch; the first, which compiles, counts only while it is alone."""
        each = [after - before for before, after in pairwise(self._marks_s)]
        counted = each[1:] or each
        return sum(counted) / len(counted) if counted else 0.0

    def _write_page(self, done: int) -> None:
        left_s = self._epoch_s() * (self._epochs - done)
        text = progress_page(self._work, self._recipe, done=done, left_s=left_s)
        write_text(self._work / PAGE, text)


def progress_page(work: Path, recipe: dict[str, Any], *, done: int, left_s: float) -> str:
    """The page of the run in `work` after `done` epochs; it needs no other file and no server.

    `left_s` is 0 while it is unknown. The page reloads itself until the run is done.
    """
    running = done < recipe["epochs"]
    curves = work / CURVES
    return page(
        f"Training {work.parent.name}",
        [
            # Browsers accept it in the body too.
            *([f'<meta http-equiv="refresh" content="{RELOAD_S}">'] if running else []),
            section(f"{done} of {recipe['epochs']} epochs", _status(running, left_s)),
            *([section("Best epoch so far", best)] if (best := _best(work)) else []),
            *([image(curves, "loss and accuracy by epoch")] if curves.exists() else []),
            section("Recipe", ""),
            table(("setting", "value"), [(name, str(value)) for name, value in recipe.items()]),
        ],
    )


def duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _best(work: Path) -> str:
    """The best epoch of the run in `work`; "" before there is one."""
    record = work / Path(BEST).with_suffix(".json")
    if not record.exists():
        return ""
    found = json.loads(record.read_text())
    return f"Epoch {found['epoch'] + 1}, validation accuracy {found['val_accuracy']:.2%}"


def _status(running: bool, left_s: float) -> str:
    now = datetime.now().astimezone()
    written = f"Written on {now:%Y-%m-%d at %H:%M:%S %Z}"
    if not running:
        return f"{written}. Training is done."
    if not left_s:
        return f"{written}. The time left will be known after the next epoch."
    end = now + timedelta(seconds=left_s)
    return f"{written}. {duration(left_s)} to go, until about {end:%H:%M on %Y-%m-%d}."
