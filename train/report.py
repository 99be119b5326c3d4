"""The figures of `evaluate` in; a page, its pictures and a JSON file out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train import page
from train.checkpoints import write_text
from train.dataset import LABELS
from train.plots import plot_confusion, plot_reliability, plot_robustness

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """A table of figures under a title, with words on it and the name of a picture, if any."""

    title: str
    text: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    picture: str = ""


def write_report(metrics: Json, folder: Path, *, title: str, curves: Path | None = None) -> None:
    """`index.html`, which needs no other file, `metrics.json` and the PNGs under `folder`.

    `curves` is a picture of the training, for the page's end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    plot_confusion(np.array(metrics["confusion"]), LABELS, folder / "confusion.png")
    plot_reliability(metrics["calibration"]["reliability"], folder / "reliability.png")
    plot_robustness(metrics["robustness"], metrics["accuracy"], folder / "robustness.png")
    body = [part for each in sections(metrics) for part in _html(each, folder)]
    if curves:
        (folder / "curves.png").write_bytes(curves.read_bytes())
        body += [page.section("Training", ""), page.image(folder / "curves.png", "Training")]
    write_text(folder / "index.html", page.page(title, body))


def sections(metrics: Json) -> Iterator[Section]:
    """All figures for a reader, the most important first."""
    yield _accuracy(metrics)
    yield _classes(metrics)
    yield _confusion(metrics)
    if metrics["ferplus"]:
        yield _agreement(metrics["ferplus"]["votes"])
    yield _calibration(metrics["calibration"])
    yield _robustness(metrics)


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _accuracy(metrics: Json) -> Section:
    scored = {
        "FER2013": metrics,
        "FER2013, copies inside the split counted once": metrics["copies_once"],
    }
    text = f"On {metrics['split']}, one picture a face, no test-time augmentation. "
    if votes := metrics["ferplus"]:
        left_out = votes["left_out"]
        scored["FER+ majority"] = votes["against_majority"]
        scored["FER2013, on the faces of the row above"] = votes["against_fer2013"]
        text += (
            "FER+'s majority is the class that most of ten voters chose; "
            f"{left_out['none_of_ours']} faces are left out because no more voters chose it than "
            f"chose none of the seven classes, {left_out['undecided']} because two classes came "
            "first. On the rest FER2013's label is the majority's for "
            f"{percent(votes['labels_agree'])}."
        )
    else:
        text += "FER+'s votes on its rows were not at hand."
    rows = [
        (name, f"{s['faces']:,}", percent(s["accuracy"]), _interval(s), f"{s['macro_f1']:.3f}")
        for name, s in scored.items()
    ]
    head = ("labels", "faces", "accuracy", "95 % interval (Wilson)", "macro-F1")
    return Section("Accuracy", text, head, rows)


def _interval(scored: Json) -> str:
    low, high = scored["accuracy_95"]
    return f"{percent(low)} to {percent(high)}"


def _classes(metrics: Json) -> Section:
    head: tuple[str, ...] = ("class", "faces", "precision", "recall", "F1")
    keys = ("precision", "recall", "f1")
    rows = [
        (name, f"{c['faces']:,}", *(f"{c[key]:.3f}" for key in keys))
        for name, c in metrics["classes"].items()
    ]
    text = "Against FER2013's labels."
    if votes := metrics["ferplus"]:
        text += " The last four columns are the same against FER+'s majority."
        head += ("FER+ faces", "precision", "recall", "F1")
        classes = votes["against_majority"]["classes"].values()
        rows = [
            (*row, f"{c['faces']:,}", *(f"{c[key]:.3f}" for key in keys))
            for row, c in zip(rows, classes, strict=True)
        ]
    return Section("Classes", text, head, rows)


def _confusion(metrics: Json) -> Section:
    rows = [
        (name, *(f"{n:,}" for n in row))
        for name, row in zip(LABELS, metrics["confusion"], strict=True)
    ]
    text = "Faces by FER2013's label (row) and answer (column)."
    return Section("Confusion", text, ("label", *LABELS), rows, "confusion.png")


def _agreement(votes: Json) -> Section:
    text = (
        "The mean share of FER+'s voters who chose a face's label, on the faces with a majority. "
        f"The cross-entropy of the network's scores to the votes is {votes['cross_entropy']:.3f} "
        f"nats; the votes' own entropy, {votes['entropy']:.3f}, is the least possible."
    )
    rows = [
        ("the network's answer", percent(votes["for_prediction"])),
        ("FER2013's label", percent(votes["for_fer2013"])),
        ("the majority's, the most possible", percent(votes["for_majority"])),
    ]
    return Section("Agreement with the voters", text, ("label", "voters for it"), rows)


def _calibration(found: Json) -> Section:
    text = (
        f"ECE is the mean distance between score and accuracy over {found['bins']} bins, NLL the "
        "negative log-likelihood of FER2013's labels in nats."
    )
    stages = {"as it is": found["after"]}
    if found["temperature"] != 1:
        name = f"without its temperature, {found['temperature']:.3f}"
        stages = {name: found["before"]} | stages
    best = found["best"]
    stages[f"at a further temperature, {best['temperature']:.3f}, fitted on these faces"] = best
    rows = [(name, f"{s['ece']:.4f}", f"{s['nll']:.4f}") for name, s in stages.items()]
    return Section("Calibration", text, ("network", "ECE", "NLL"), rows, "reliability.png")


def _robustness(metrics: Json) -> Section:
    found = metrics["robustness"]
    text = (
        "Accuracy on the same faces, each corruption at three levels, given in brackets: "
        f"{percent(metrics['accuracy'])} as they are, {percent(found['mean_accuracy'])} on "
        "average over all corruptions and levels."
    )
    rows = [
        (name, *_by_level(corruption), corruption["unit"])
        for name, corruption in found["corruptions"].items()
    ]
    head = ("corruption", "mild", "middling", "severe", "unit of the level")
    return Section("Robustness", text, head, rows, "robustness.png")


def _by_level(corruption: Json) -> list[str]:
    pairs = zip(corruption["accuracy"], corruption["levels"], strict=True)
    return [f"{percent(accuracy)} ({level:g})" for accuracy, level in pairs]


def _html(each: Section, folder: Path) -> Iterator[str]:
    yield page.section(each.title, each.text)
    yield page.table(each.head, each.rows)
    if each.picture:
        yield page.image(folder / each.picture, each.title)
