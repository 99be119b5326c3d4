"""Writes the model card of a `.tflite` file as Markdown.

The questions are those of Mitchell et al., 2019, "Model Cards for Model Reporting",
https://arxiv.org/abs/1810.03993.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from train.dataset import FER2013
from train.label_sets import FERPLUS
from train.report import sections, source_of

Json = dict[str, Any]

_USE = """## Intended use

Naming which of {classes} expressions people would see in one frontal or nearly frontal face of
about 50 pixels or more, cut out as the file's `spec.json` says: for a camera's own event log,
interactive pieces, teaching and research, where a wrong answer does no harm and the people in view
know of it.

Out of scope: what somebody feels, intends or is; decisions about people (hiring, schooling,
insurance, police, health); recognizing who somebody is; faces from the side, masked faces,
drawings. In the European Union inferring emotions of people at work and in education is forbidden
except for medical or safety reasons (Regulation (EU) 2024/1689, Article 5(1)(f)).

## Fairness

Not assessed: {dataset} has no demographic labels, so how the figures differ between groups of
people is unknown. Do not assume that its pictures show people like those before your camera."""

_FER2013 = """FER2013 (Goodfellow et al., 2013, arXiv:1307.0414): 48×48 gray faces that a web search
for 184 words of emotion found, cut out by a face detector, with one label each; 28,709 in Training,
3,589 each in PublicTest and PrivateTest. Its authors put people's own accuracy on it at 65±5 %.
FER+ (Barsoum et al., 2016, arXiv:1608.01041) has ten people's votes on each of these faces. No
other picture was used."""

_COMMANDS = """## Commands

    make explore DATA=path/to/dataset     # what is in the dataset, with all its copies
    make train DATA=path/to/dataset
    make convert
    make evaluate DATA=path/to/dataset    # writes this card"""

_PRIVATE_TEST = """With all of `fer2013.csv`, and FER+'s `fer2013new.csv` beside it,

    python -m train evaluate models/{file} path/to/fer2013 --split PrivateTest

gives the same figures for the split that was not used for any choice."""

_LIMITS = """## What the figures do not show

They are for the faces of one dataset. A camera's faces are smaller, darker, turned and blurred; the
table of robustness imitates that, one corruption at a time. Resting faces of different people look
different, and the network knows none of them."""

_AUGMENTED = """Training faces were blurred, darkened, turned and compressed in similar ways, so
that disturbances of other kinds may cost more than the table says."""

_FER2013_LIMITS = """FER2013's faces are what a web search found: people posed, or photographers
chose the moment. Faces without a majority among the voters, about one in nine, are not in the
figures for FER+; people do not agree on them either. Disgust and fear have few faces there (24 and
62 of PublicTest), so their figures are uncertain."""


def make_card(spec: Json, metrics: Json) -> str:
    """Return the card of the file in `metrics["model"]`, whose embedded `spec.json` is `spec`."""
    file, fer2013 = metrics["model"], metrics["dataset"] == FER2013
    learned = f"This file learned {source_of(metrics['annotations'])}."
    parts = [
        f"# Model card: {spec['name']} {spec['version']}",
        f"{spec['description']}. {spec['author']}, {spec['license']}. Written by `make evaluate`.",
        f"This model {summary(spec, metrics)}",
        _table(("file", f"`{file['file']}`"), [("sha256", f"`{file['sha256']}`")]),
        _USE.format(classes=len(spec["labels"]), dataset=metrics["dataset"]),
        "## Data",
        f"{_dataset(spec, metrics)} {learned}",
        _leaks(spec, metrics),
        "## Recipe",
        _recipe(spec),
        _COMMANDS,
        *([_PRIVATE_TEST.format(file=file["file"])] if fer2013 else []),
        "## Figures",
        f"Measured on the file itself, on {file['runtime']}.",
    ]
    for each in sections(metrics):
        texts = [each.text] if each.text else []
        parts += [f"### {each.title}", *texts, _table(each.head, each.rows)]
    parts += [_LIMITS, *([_AUGMENTED] if "training" in spec else [])]
    parts += [_FER2013_LIMITS] if fer2013 else []
    return "\n\n".join(parts) + "\n"


def summary(spec: Json, metrics: Json) -> str:
    """Return the most important figures in a few sentences; the README quotes them."""
    sets = metrics["sets"]
    name, own = next(iter(sets.items()))
    low, high = own["accuracy_95"]
    text = (
        f"({spec['quantization']['scheme']}, {metrics['model']['bytes']:,} bytes) names the "
        f"{_label(name)} of {100 * own['accuracy']:.1f} % of {_faces(name, own, metrics)} (95 % "
        f"interval {100 * low:.1f} to {100 * high:.1f} %), with a mean recall of "
        f"{100 * own['mean_recall']:.1f} % over the {len(spec['labels'])} classes."
    )
    for other, found in list(sets.items())[1:]:
        text += (
            f" It names the {_label(other)} of {100 * found['accuracy']:.1f} % of "
            f"{_faces(other, found, metrics)}."
        )
    return text


def _label(name: str) -> str:
    return "voters' choice" if name == FERPLUS else f"{name} label"


def _faces(name: str, found: Json, metrics: Json) -> str:
    if name == FERPLUS:
        return f"the {found['faces']:,} faces of {metrics['split']} with a majority in FER+"
    return f"all {found['faces']:,} faces of {metrics['split']}"


def _dataset(spec: Json, metrics: Json) -> str:
    if metrics["dataset"] == FER2013:
        return _FER2013
    trained_on = spec["dataset"].get("training_faces")
    training = f"{trained_on:,} faces for training" if trained_on else "faces unknown for training"
    return f"{metrics['dataset']}: {training}, {metrics['faces']:,} in {metrics['split']}."


def _leaks(spec: Json, metrics: Json) -> str:
    split = metrics["split"]
    own = next(iter(metrics["sets"].values()))
    repeated = own["faces"] - metrics["copies_once"]["faces"]
    left_out = ""
    if "training" in spec:  # not a network from outside
        left_out = f" The copies in Training were left out of training; {split} is complete."
    if split == "Training":
        text = "These are the faces it was trained on, so the figures say little of other faces."
    elif shared := metrics["also_in_training"]:
        text = (
            f"Its splits leak: {shared:,} of {split}'s {metrics['faces']:,} faces are also in "
            f"Training, pixel for pixel.{left_out}"
        )
    else:
        text = f"No face of {split} is also in Training, pixel for pixel."
    text += (
        f" {repeated:,} of its faces repeat, exactly or nearly, another one of its own; the last "
        "row of the table of accuracy counts each of them once."
    )
    if spec["dataset"].get("validation") == split:
        training = spec.get("training", {})
        teachers = ", of its teachers too" if training.get("teachers") else ""
        if training.get("averaged"):
            teachers += ", and this mean of trainings among others"
        text += (
            f" {split} chose the epoch and the temperature{teachers}, so its figures are slightly "
            "optimistic."
        )
    return textwrap.fill(text, 100)


def _recipe(spec: Json) -> str:
    """Everything that the spec says of how the model was made."""
    rows = [
        (f"{part}: {key}", str(value))
        for part in ("dataset", "training", "quantization", "converter")
        for key, value in spec.get(part, {}).items()
    ]
    rows += [("sha256 of the Keras weights", f"`{spec['weights_sha256']}`")]
    return _table(("setting", "value"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose first column has names and the others figures."""
    rule = ("---", *("---:" for _ in head[1:]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
