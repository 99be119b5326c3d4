"""Draws the curves of a training from its log, one PNG for each metric."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from train.checkpoints import BEST, read_log, write_bytes

mpl.use("Agg")

LOG = "log.csv"
METRICS = ("loss", "accuracy", "votes_accuracy", "learning_rate")


def write_curves(work: Path) -> None:
    """Draw the log of the training in `work`, which has at least one epoch, and its best epoch."""
    history = read_log(work / LOG)
    best = json.loads(_record(work).read_text())["epoch"]
    for metric in METRICS:
        if metric in history:
            write_bytes(_picture(work, metric), _curve(history, metric, best + 1))


def curve_files(work: Path) -> list[Path]:
    """Return the PNGs of the training in `work`; none before its first epoch is over."""
    return [path for metric in METRICS if (path := _picture(work, metric)).exists()]


def best_epoch(work: Path) -> str:
    """Return a sentence on the epoch whose weights are kept; "" before there is one."""
    if not _record(work).exists():
        return ""
    found = json.loads(_record(work).read_text())
    return f"Epoch {found['epoch'] + 1}, validation accuracy {found['val_accuracy']:.2%}."


def _record(work: Path) -> Path:
    return work / Path(BEST).with_suffix(".json")


def _picture(work: Path, metric: str) -> Path:
    return work / f"curve-{metric.replace('_', '-')}.png"


def _curve(history: Mapping[str, Sequence[float]], metric: str, best: int) -> bytes:
    """Return a PNG of `metric` by epoch, counted from 1."""
    epochs = [int(epoch) + 1 for epoch in history["epoch"]]
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axis = figure.subplots()
    for name, label in ((metric, "training"), (f"val_{metric}", "validation")):
        if name in history:
            marker = "o" if len(epochs) == 1 else "."  # one epoch would be an invisible line
            axis.plot(epochs, history[name], marker=marker, label=label)
    axis.axvline(best, color="gray", linestyle=":", label="best epoch")
    axis.set(xlabel="epoch", title=metric.replace("_", " "), xlim=(0.5, max(epochs) + 0.5))
    if metric == "learning_rate":
        axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.legend()
    memory = io.BytesIO()
    figure.savefig(memory, dpi=110)
    return memory.getvalue()
