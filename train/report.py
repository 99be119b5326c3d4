"""Writes the report on a network: a page, its pictures and a JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train import page
from train.checkpoints import write_text
from train.curves import best_epoch, curve_files
from train.dataset import FER2013, Split
from train.label_sets import FERPLUS
from train.plots import (
    plot_confusion,
    plot_coverage,
    plot_reliability,
    plot_robustness,
)

Json = dict[str, Any]
Face = NDArray[np.uint8]  # (48, 48, 1)

WIDE = {"confusion.png", "robustness.png"}


@dataclass(frozen=True, slots=True)
class Section:
    """A table under a title, with an explanation and the file name of a picture, if any."""

    title: str
    text: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    picture: str = ""


def write_report(
    metrics: Json, split: Split, folder: Path, *, title: str, work: Path | None = None
) -> None:
    """Write `index.html`, which needs no other file, `metrics.json` and the PNGs to `folder`.

    `metrics` are those of `evaluate` on `split`; `work` is the folder of the training, whose
    curves end the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    own = _own(metrics)
    plot_confusion(np.array(own["confusion"]), metrics["labels"], folder / "confusion.png")
    plot_reliability(own["calibration"]["reliability"], folder / "reliability.png")
    plot_coverage(
        {name: found["coverage"] for name, found in metrics["sets"].items()},
        folder / "coverage.png",
    )
    plot_robustness(
        metrics["robustness"], _name(metrics), own["accuracy"], folder / "robustness.png"
    )
    body = [part for each in sections(metrics) for part in _html(each, folder)]
    if metrics["mistakes"]:
        text = (
            "The wrong answers with the highest scores: label, answer and score of each face, and "
            f"its row in {split.name}, counted from 0."
        )
        body += [page.section("Mistakes", text), page.faces(_mistakes(metrics, split))]
    if work and (curves := curve_files(work)):
        text = f"The weights are those of the best epoch. {best_epoch(work)}"
        body += [page.section("Training", text), page.charts(curves)]
    write_text(folder / "index.html", page.page(title, body))


def sections(metrics: Json) -> Iterator[Section]:
    """Yield all figures for a reader, the most important first."""
    yield _accuracy(metrics)
    for name, found in metrics["sets"].items():
        yield _classes(name, found)
    for i, (name, found) in enumerate(metrics["sets"].items()):
        yield _confusion(metrics["labels"], name, found, "" if i else "confusion.png")
    if metrics["votes"]:
        yield _votes(metrics["votes"])
    yield _coverage(metrics["sets"])
    yield _answers(_name(metrics), _own(metrics)["answers"])
    yield _calibration(metrics)
    yield from _robustness(metrics)


def _mistakes(metrics: Json, split: Split) -> Iterator[tuple[Face, str]]:
    labels = metrics["labels"]
    for each in metrics["mistakes"]:
        label, answer = labels[each["label"]], labels[each["answer"]]
        yield split.x[each["row"]], f"{label} → {answer}, {each['score']:.2f}, row {each['row']}"


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def title_of(name: str) -> str:
    """Return the title of the set of labels `name`."""
    return "FER+ majority" if name == FERPLUS else f"{name} labels"


def source_of(annotations: str) -> str:
    """Describe the answers that a network learned."""
    if annotations == FERPLUS:
        return "the votes of FER+'s ten people on each face"
    return f"the labels of {annotations}"


def _name(metrics: Json) -> str:
    """Return the set of labels that the network learned."""
    return str(next(iter(metrics["sets"])))


def _own(metrics: Json) -> Json:
    found: Json = metrics["sets"][_name(metrics)]
    return found


def _accuracy(metrics: Json) -> Section:
    scored = {title_of(name): found for name, found in metrics["sets"].items()}
    scored[f"{title_of(_name(metrics))}, repeated faces counted once"] = metrics["copies_once"]
    text = (
        f"On {metrics['split']}, one picture of each face, without test-time augmentation. "
        f"The network learned {source_of(metrics['annotations'])}."
    )
    if votes := metrics["votes"]:
        text += (
            " FER+'s majority is the class with more than half of the votes of ten people, "
            f"single votes dropped, as in the FER+ paper; {votes['without_majority']:,} faces "
            "without one are left out. On the rest FER2013's label is the majority's for "
            f"{percent(votes['fer2013_agrees'])}."
        )
    elif metrics["dataset"] == FER2013:
        text += " FER+'s votes were not available."
    rows = [
        (
            name,
            f"{s['faces']:,}",
            percent(s["accuracy"]),
            _interval(s),
            percent(s["mean_recall"]),
            f"{s['macro_f1']:.3f}",
        )
        for name, s in scored.items()
    ]
    head = ("labels", "faces", "accuracy", "95 % interval (Wilson)", "mean recall", "macro-F1")
    return Section("Accuracy", text, head, rows)


def _interval(scored: Json) -> str:
    low, high = scored["accuracy_95"]
    return f"{percent(low)} to {percent(high)}"


def _classes(name: str, found: Json) -> Section:
    keys = ("precision", "recall", "f1")
    rows = [
        (label, f"{c['faces']:,}", *(f"{c[key]:.3f}" for key in keys))
        for label, c in found["classes"].items()
    ]
    head = ("class", "faces", "precision", "recall", "F1")
    return Section(f"Classes: {title_of(name)}", "", head, rows)


def _confusion(labels: Sequence[str], name: str, found: Json, picture: str) -> Section:
    rows = [
        (label, *(f"{n:,}" for n in row))
        for label, row in zip(labels, found["confusion"], strict=True)
    ]
    text = "Faces by label (row) and answer (column)."
    return Section(f"Confusion: {title_of(name)}", text, ("label", *labels), rows, picture)


def _votes(votes: Json) -> Section:
    text = (
        "The mean share of FER+'s voters who chose a label, on the faces with a majority. The "
        f"cross-entropy of the scores to the shares of the votes is {votes['cross_entropy']:.3f} "
        f"nats; the least possible is the votes' own entropy, {votes['entropy']:.3f}."
    )
    rows = [
        ("the network's answer", percent(votes["for_prediction"])),
        ("FER2013's label", percent(votes["for_fer2013"])),
        ("the majority's, the most possible", percent(votes["for_majority"])),
    ]
    return Section("Agreement with the voters", text, ("label", "voters who chose it"), rows)


def _coverage(sets: dict[str, Json]) -> Section:
    text = (
        "Accuracy if only the faces with the highest scores are named and the rest are called "
        "uncertain; in brackets the lowest score that is still named."
    )
    coverages = [each["coverage"] for each in next(iter(sets.values()))["coverage"]]
    rows = [
        (
            title_of(name),
            *(f"{percent(each['accuracy'])} ({each['score']:.2f})" for each in found["coverage"]),
        )
        for name, found in sets.items()
    ]
    head = ("labels", *(f"{100 * each:.0f} % named" for each in coverages))
    return Section("Accuracy by coverage", text, head, rows, "coverage.png")


def _answers(name: str, answers: dict[str, list[Json]]) -> Section:
    text = (
        "How often an answer is right if it is only given from a lowest score on, and in brackets "
        "how many faces keep it; `smoothing.label_min_scores` sets such a score for each label."
    )
    scores = [each["score"] for each in next(iter(answers.values()))]
    rows = [
        (
            label,
            *(
                f"{percent(each['right'] / each['named'])} ({each['named']:,})"
                if each["named"]
                else "– (0)"
                for each in found
            ),
        )
        for label, found in answers.items()
    ]
    head = ("answer", "any score", *(f"from {each:g}" for each in scores[1:]))
    return Section(f"Answers by lowest score: {title_of(name)}", text, head, rows)


def _calibration(metrics: Json) -> Section:
    text = (
        "ECE is the mean distance between score and accuracy over "
        f"{_own(metrics)['calibration']['bins']} bins, NLL the negative log-likelihood of the "
        "labels in nats. The best temperature is what the logits would have to be divided by to "
        "suit these faces best; the network already contains a temperature of "
        f"{metrics['temperature']:.3f}."
    )
    rows = []
    for name, found in metrics["sets"].items():
        each = found["calibration"]
        figures = (f"{each['ece']:.4f}", f"{each['nll']:.4f}", f"{each['best_temperature']:.3f}")
        rows.append((title_of(name), *figures))
        if "ece_votes" in each:
            rows.append(("shares of FER+'s votes", f"{each['ece_votes']:.4f}", "", ""))
    head = ("labels", "ECE", "NLL", "best temperature")
    return Section("Calibration", text, head, rows, "reliability.png")


def _robustness(metrics: Json) -> Iterator[Section]:
    found = metrics["robustness"]
    for i, (name, scored) in enumerate(metrics["sets"].items()):
        text = (
            "Accuracy on the same faces with each corruption at three levels, given in brackets: "
            f"{percent(scored['accuracy'])} without, {percent(found['mean_accuracy'][name])} on "
            "average over all corruptions and levels."
        )
        rows = [
            (title, *_by_level(corruption, name), corruption["unit"])
            for title, corruption in found["corruptions"].items()
        ]
        head = ("corruption", "mild", "medium", "severe", "unit of the level")
        picture = "" if i else "robustness.png"
        yield Section(f"Robustness: {title_of(name)}", text, head, rows, picture)


def _by_level(corruption: Json, name: str) -> list[str]:
    pairs = zip(corruption["accuracy"][name], corruption["levels"], strict=True)
    return [f"{percent(accuracy)} ({level:g})" for accuracy, level in pairs]


def _html(each: Section, folder: Path) -> Iterator[str]:
    yield page.section(each.title, each.text)
    yield page.table(each.head, each.rows)
    if each.picture:
        yield page.charts([folder / each.picture], wide=each.picture in WIDE)
