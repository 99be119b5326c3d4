"""Writes the report on a dataset: `python -m train explore`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from train import page
from train.augment import augmenter
from train.checkpoints import write_text
from train.dataset import Split
from train.ferplus import Votes
from train.findings import Findings, find

mpl.use("Agg")

SEED = 1
COLUMNS = 8
ENLARGE = 2
SHOWN = 24  # faces of each kind of finding
COPIES = (
    "Images of the first split that are in the second too (in the same split: besides themselves), "
    "pixel for pixel, and with near copies."
)

Gray = NDArray[np.uint8]


def explore(splits: dict[str, Split], votes: dict[str, Votes], folder: Path) -> dict[str, Any]:
    """Write `index.html`, `explore.json` and PNGs to `folder`; return the counts."""
    folder.mkdir(parents=True, exist_ok=True)
    found = find(splits, votes)
    summary = found.summary()
    _balance(summary).savefig(folder / "balance.png", dpi=100)
    body = [
        page.section("Class balance", _balance_text(summary)),
        page.charts([folder / "balance.png"], wide=True),
        page.section("Copies", COPIES),
        page.table(("images of … in …", "exact", "exact or near"), _copies(summary)),
        *_findings(found),
    ]

    def add(name: str, title: str, text: str, figure: Figure) -> None:
        figure.savefig(folder / f"{name}.png", dpi=100)
        body.append(page.section(title, text))
        body.append(page.sheet(folder / f"{name}.png", title))

    for label, name in enumerate(found.labels):
        tiles = _sample(found.x[found.y == label], 2 * COLUMNS)
        add(f"sample-{name}", f"Samples: {name}", "Drawn at random.", _grid([tiles]))
    add("means", "Mean faces", ", ".join(found.labels) + ".", _grid([_means(found)]))
    add(
        "augmented",
        "A training batch",
        f"{COLUMNS} faces as they are, then augmented in eight ways.",
        _grid(_augmented(found)),
    )
    write_text(folder / "explore.json", json.dumps(summary, indent=1) + "\n")
    write_text(folder / "index.html", page.page("Dataset", body))
    return summary


def _balance_text(summary: dict[str, Any]) -> str:
    return " ".join(
        f"{name}: {split['faces']} faces, the largest class is {split['imbalance']} times "
        "the smallest."
        for name, split in summary["splits"].items()
    )


def _balance(summary: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axis = figure.subplots()
    splits = summary["splits"]
    width = 0.8 / len(splits)
    for number, (name, split) in enumerate(splits.items()):
        shares = np.array(list(split["classes"].values())) / max(split["faces"], 1)
        axis.bar(np.arange(len(shares)) + number * width, shares, width, label=name)
    labels = list(next(iter(splits.values()))["classes"])
    axis.set_xticks(np.arange(len(labels)) + 0.4 - width / 2, labels)
    axis.set_ylabel("share of the split")
    axis.legend()
    return figure


def _grid(rows: Sequence[Gray]) -> Figure:
    """Return a picture of rows of tiles (n, 48, 48, 1), wrapped at COLUMNS; blank without tiles."""
    tiles = [tile for row in rows for tile in _wrapped(row)]
    sheet = np.vstack(tiles) if tiles else np.full((48, 48), 255, np.uint8)
    sheet = sheet.repeat(ENLARGE, axis=0).repeat(ENLARGE, axis=1)
    height, width = sheet.shape
    figure = Figure(figsize=(width / 80, height / 80))
    figure.figimage(sheet, cmap="gray", vmin=0, vmax=255, resize=False)
    figure.set_size_inches(width / 100, height / 100)
    return figure


def _wrapped(row: Gray) -> list[Gray]:
    lines = []
    for start in range(0, len(row), COLUMNS):
        line = row[start : start + COLUMNS, ..., 0]
        blank = np.full((COLUMNS - len(line), *line.shape[1:]), 255, np.uint8)
        lines.append(np.hstack([*line, *blank]))
    return lines


def _sample(x: Gray, n: int) -> Gray:
    rng = np.random.default_rng(SEED)
    return x[rng.permutation(len(x))[:n]]


def _drawn(items: Sequence[Any], n: int) -> list[Any]:
    rng = np.random.default_rng(SEED)
    return [items[i] for i in rng.permutation(len(items))[:n]]


def _means(found: Findings) -> Gray:
    means = [
        found.x[found.y == label].mean(axis=0)
        if (found.y == label).any()
        else np.zeros((48, 48, 1))
        for label in range(len(found.labels))
    ]
    return np.array(means).astype(np.uint8)


def _only_near(found: Findings) -> list[Any]:
    return [p for p in found.near if not np.array_equal(found.x[p.first], found.x[p.second])]


def _findings(found: Findings) -> Iterator[str]:
    """Yield sections on near copies, conflicts and pictures without a face, with their rows."""
    near = _only_near(found)
    text = f"Each before its copy, at most {SHOWN // 2} pairs; exact copies are not shown."
    yield from _shown(
        f"Near copies: {len(near)} pairs",
        text,
        [
            (found.x[one], f"{found.place(one)}: {found.labels[found.y[one]]}")
            for pair in _drawn(near, SHOWN // 2)
            for one in (pair.first, pair.second)
        ],
    )
    yield from _shown(
        f"One picture, two labels: {len(found.conflicts)} groups of exact copies",
        f"At most {SHOWN} are shown.",
        [
            (
                found.x[group[0]],
                ", ".join(f"{found.labels[found.y[i]]} ({found.place(i)})" for i in group),
            )
            for group in found.conflicts[:SHOWN]
        ],
    )
    text = f"They are flat, or half of FER+'s voters saw no face; at most {SHOWN} are shown."
    rows = found.no_faces[:SHOWN]
    yield from _shown(
        f"No faces: {len(found.no_faces)} pictures",
        text,
        [(found.x[i], f"{found.place(i)}: {found.labels[found.y[i]]}") for i in rows],
    )


def _shown(title: str, text: str, faces: list[tuple[Gray, str]]) -> Iterator[str]:
    yield page.section(title, text if faces else "")
    if faces:
        yield page.faces(faces)


def _augmented(found: Findings) -> list[Gray]:
    faces = _sample(found.x[found.split == 0], COLUMNS)
    layers = augmenter(SEED)
    batches = [layers(faces.astype(np.float32), training=True) for _ in range(8)]
    return [faces, *(np.asarray(batch).astype(np.uint8) for batch in batches)]


def _copies(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, str(found["exact"]), str(found["exact_or_near"]))
        for name, found in summary["copies"].items()
    ]
