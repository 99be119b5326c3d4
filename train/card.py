"""A model file's spec and the figures of `evaluate` in; its model card as Markdown out.

The questions are those of Mitchell et al., 2019, "Model Cards for Model Reporting",
https://arxiv.org/abs/1810.03993.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from train.report import sections

Json = dict[str, Any]

_USE = """## Intended use

Saying which of seven expressions people would see in one frontal or nearly frontal face of some 50
pixels or more, cut out as the file's `spec.json` says: for a camera's own event log, for
interactive pieces, teaching and research, where a wrong answer does no harm and the people in view
know of it.

Out of scope: telling what somebody feels, intends or is; decisions about people (hiring,
schooling, insurance, police, health); recognizing who somebody is; faces from the side, masked
faces, drawings. In the European Union inferring emotions of people at work and in education is
forbidden but for medical or safety reasons (Regulation (EU) 2024/1689, Article 5(1)(f)).

## Fairness

Not assessed: FER2013 has no demographic labels, so that how the figures differ between groups of
people is not known. Its pictures are what a web search engine found in 2013; do not assume that
they are of people like those before your camera."""

_DATA = """## Data

FER2013 (Goodfellow et al., 2013, arXiv:1307.0414): 48×48 gray faces that a web search for 184 words
of emotion found, cut out by a face detector, with one label each; 28,709 in Training, 3,589 each in
PublicTest and PrivateTest. Its authors put people's own accuracy on it at 65±5 %. No other picture
was used.

{leaks}"""

_COMMANDS = """## Commands

    make explore DATA=path/to/fer2013     # what is in the dataset, with all its copies
    make train DATA=path/to/fer2013
    make convert
    make evaluate DATA=path/to/fer2013    # writes this card

With all of `fer2013.csv`, and `fer2013new.csv` of FER+ beside it where its figures are wanted,

    python -m train evaluate models/{file} path/to/fer2013 --split PrivateTest

gives the same figures for the split that nobody chose anything on."""


def make_card(spec: Json, metrics: Json) -> str:
    """The card of the file in `metrics["model"]`, whose embedded `spec.json` is `spec`."""
    file = metrics["model"]
    parts = [
        f"# Model card: {spec['name']} {spec['version']}",
        f"{spec['description']}. {spec['author']}, {spec['license']}. Written by `make evaluate`.",
        f"This model {summary(spec, metrics)}",
        _table(("file", f"`{file['file']}`"), [("sha256", f"`{file['sha256']}`")]),
        _USE,
        _DATA.format(leaks=_leaks(spec, metrics)),
        "## Recipe",
        _recipe(spec),
        _COMMANDS.format(file=file["file"]),
        "## Figures",
        f"Measured on the file itself, on {file['runtime']}.",
    ]
    for each in sections(metrics):
        parts += [f"### {each.title}", each.text, _table(each.head, each.rows)]
    return "\n\n".join(parts) + "\n"


def summary(spec: Json, metrics: Json) -> str:
    """The figures in a sentence or two; the README's are these."""
    low, high = metrics["accuracy_95"]
    text = (
        f"({spec['quantization']['scheme']}, {metrics['model']['bytes']:,} bytes) gets "
        f"{100 * metrics['accuracy']:.1f} % of {metrics['split']}'s {metrics['faces']:,} faces "
        f"right (95 % interval {100 * low:.1f} to {100 * high:.1f} %), macro-F1 "
        f"{metrics['macro_f1']:.3f}, against FER2013's own labels and without test-time "
        "augmentation."
    )
    if votes := metrics["ferplus"]:
        majority = votes["against_majority"]
        text += (
            f" Of the {majority['faces']:,} faces on which FER+'s ten voters have a majority it "
            f"gets {100 * majority['accuracy']:.1f} % right by that majority."
        )
    return text


def _leaks(spec: Json, metrics: Json) -> str:
    split, repeated = metrics["split"], metrics["faces"] - metrics["copies_once"]["faces"]
    text = (
        f"Its splits leak: {metrics['also_in_training']:,} of {split}'s {metrics['faces']:,} faces "
        "also stand in Training, pixel for pixel. The copies in Training were left out of "
        f"training; {split} is whole. {repeated:,} of its faces repeat, exactly or nearly, another "
        "one of its own; the second line of the table of accuracy counts each of those once."
    )
    if spec["dataset"].get("validation") == split:
        text += f" {split} chose the epoch and the temperature, so its figures flatter a little."
    return textwrap.fill(text, 100)


def _recipe(spec: Json) -> str:
    """Everything that the spec says of how the model came to be."""
    rows = [
        (f"{part}: {key}", str(value))
        for part in ("dataset", "training", "quantization", "converter")
        for key, value in spec.get(part, {}).items()
    ]
    rows += [("sha256 of the Keras weights", f"`{spec['weights_sha256']}`")]
    return _table(("setting", "value"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """As Markdown, the first column names, the others figures."""
    rule = ("---", *("---:" for _ in head[1:]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
