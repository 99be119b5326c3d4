"""Shows the progress of a training: lines, a bar, curves and a page that reloads itself."""

from __future__ import annotations

import math
import sys
import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import keras

from train.checkpoints import write_text
from train.curves import best_epoch, curve_files, write_curves
from train.page import charts, page, section, table
from train.terminal import Bar, duration, progress_bar

PAGE = "index.html"
RELOAD_S = 10
LINE_S = 60.0  # between lines within an epoch
FIRST_BATCH, TIMED_BATCHES = 2, 8  # the first batches compile the network


class Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """Prints lines, and a bar on a terminal; draws the curves and writes `index.html` in `work`.

    After the first batches it prints how long all epochs will take, and after each epoch how long
    the rest will take.
    """

    def __init__(self, work: Path, recipe: dict[str, Any]) -> None:
        """`recipe` has the settings that the page shows under the curves."""
        super().__init__()
        self._work, self._recipe = work, recipe
        self._epochs: int = recipe["epochs"]
        self._marks_s: list[float] = []  # the start, then the end of each epoch
        self._printed_s = self._timed_s = 0.0
        self._drawn_s = -math.inf
        self._bar: Bar[NoReturn] | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._marks_s = [time.monotonic()]

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        title = f"Epoch {epoch + 1}/{self._epochs}"
        print(title, flush=True)
        self._printed_s = time.monotonic()
        self._bar = progress_bar(self.params["steps"], title, unit="batch")
        if not self._epoch_s():
            self._write_page(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Print the time of all epochs once, and a line every LINE_S if there is no bar."""
        now_s, steps = time.monotonic(), self.params["steps"]
        if self._bar is not None:
            self._bar.update()
        if len(self._marks_s) == 1 and batch == FIRST_BATCH:
            self._timed_s = now_s
        if len(self._marks_s) == 1 and batch == FIRST_BATCH + TIMED_BATCHES:
            each_s = (now_s - self._timed_s) / TIMED_BATCHES
            print(
                f"all epochs together take about {duration(each_s * steps * self._epochs)} at the "
                "current load; calibration and evaluation follow"
            )
        if now_s - self._printed_s > LINE_S and not sys.stderr.isatty():
            self._printed_s = now_s
            print(f"batch {batch + 1} of {steps}, loss {(logs or {}).get('loss', math.nan):.3f}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._bar is not None:
            self._bar.close()
        self._marks_s.append(time.monotonic())
        print(f"  {_figures(logs or {})}")
        if left := self._epochs - epoch - 1:
            each_s = self._epoch_s()
            print(f"  {each_s:.0f} s an epoch, {duration(left * each_s)} to go")
        if not left or time.monotonic() - self._drawn_s > RELOAD_S / 2:
            write_curves(self._work)
            self._drawn_s = time.monotonic()
        self._write_page(epoch + 1)

    def _epoch_s(self) -> float:
        """Return the mean seconds of an epoch, without the first, which compiles, if possible."""
        each = [after - before for before, after in pairwise(self._marks_s)]
        counted = each[1:] or each
        return sum(counted) / len(counted) if counted else 0.0

    def _write_page(self, done: int) -> None:
        left_s = self._epoch_s() * (self._epochs - done)
        text = progress_page(self._work, self._recipe, done=done, left_s=left_s)
        write_text(self._work / PAGE, text)


def progress_page(work: Path, recipe: dict[str, Any], *, done: int, left_s: float) -> str:
    """Return the page of the run in `work` after `done` epochs; it needs no other file.

    `left_s` is 0 while it is unknown. The page reloads itself until the run is done.
    """
    running = done < recipe["epochs"]
    curves = curve_files(work)
    return page(
        f"Training {work.parent.name}",
        [
            section(f"{done} of {recipe['epochs']} epochs", _status(running, left_s)),
            *([section("Best epoch so far", best)] if (best := best_epoch(work)) else []),
            *([charts(curves)] if curves else []),
            section("Recipe", ""),
            table(("setting", "value"), [(name, str(value)) for name, value in recipe.items()]),
        ],
        reload_s=RELOAD_S if running else 0,
    )


def _figures(logs: dict[str, float]) -> str:
    """Format the logged figures of an epoch as a line."""
    shown = []
    for name, value in logs.items():
        words = name.removeprefix("val_").replace("_", " ")
        text = f"{value:.1%}" if words.endswith("accuracy") else f"{value:.3g}"
        shown.append(f"{'validation ' if name.startswith('val_') else ''}{words} {text}")
    return ", ".join(shown)


def _status(running: bool, left_s: float) -> str:
    now = datetime.now().astimezone()
    written = f"Written on {now:%Y-%m-%d at %H:%M:%S %Z}"
    if not running:
        return f"{written}. Training is done."
    if not left_s:
        return f"{written}. The time left will be known after the next epoch."
    end = now + timedelta(seconds=left_s)
    return f"{written}. {duration(left_s)} to go, until about {end:%H:%M on %Y-%m-%d}."
