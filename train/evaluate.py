"""Measures a network: accuracy, calibration, agreement with voters, and robustness."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.calibration import measure_calibration
from train.card import make_card
from train.checkpoints import write_text
from train.dataset import EVALUATION, FER2013, HELD_OUT, VOTES_FILE, Split, duplicates_of
from train.duplicates import near_pairs
from train.errors import DatasetError, ModelFileError
from train.ferplus import Votes
from train.label_sets import FERPLUS, LabelSet, label_sets, measure_votes
from train.loading import LoadedModel, load_model
from train.report import write_report
from train.robustness import CORRUPTIONS, measure_robustness
from train.scores import Classify, accuracy_by_coverage, answers_by_score, score
from train.selection import hold_out
from train.terminal import duration

MISTAKES = 24  # shown as pictures


def evaluate(
    classify: Classify,
    split: Split,
    *,
    votes: Votes | None = None,
    annotations: str = "",
    temperature: float = 1.0,
) -> dict[str, Any]:
    """Measure `classify` on every face of `split`, unchanged and corrupted; values for JSON.

    `votes` are FER+'s on the rows of the split, if available. `annotations` names the set of
    labels that the network learned, by default the dataset's; its figures come first.
    `temperature` is the one already in the network's weights (see `apply_temperature`).
    """
    start_s = time.monotonic()
    probabilities = classify(split.x)
    each_s = time.monotonic() - start_s
    runs = sum(len(corruption.levels) for corruption in CORRUPTIONS.values())
    print(
        f"evaluating on {len(split.y)} faces, plain and with {runs} corruptions: about "
        f"{duration(runs * each_s)} …",
        flush=True,
    )
    sets = label_sets(split, votes)
    annotations = annotations or split.dataset
    names = sorted(sets, key=lambda name: name != annotations)
    own = sets[names[0]]
    once = np.setdiff1d(own.rows, _repeated(split))
    first = np.isin(own.rows, once)
    predicted = probabilities.argmax(axis=1)
    return {
        "split": split.name,
        "faces": len(split.y),
        "dataset": split.dataset,
        "labels": list(split.labels),
        "annotations": annotations,
        "temperature": temperature,
        "sets": {
            name: score(sets[name].y, predicted[sets[name].rows], split.labels)
            | {
                "calibration": measure_calibration(
                    probabilities[sets[name].rows], sets[name].y, sets[name].shares
                ),
                "coverage": accuracy_by_coverage(probabilities[sets[name].rows], sets[name].y),
                "answers": answers_by_score(
                    probabilities[sets[name].rows], sets[name].y, split.labels
                ),
            }
            for name in names
        },
        "copies_once": score(own.y[first], predicted[own.rows[first]], split.labels),
        "mistakes": _mistakes(probabilities[own.rows], own),
        "votes": measure_votes(probabilities, split, sets[FERPLUS]) if FERPLUS in sets else None,
        "robustness": measure_robustness(classify, split.x, {name: sets[name] for name in names}),
    }


def evaluate_file(
    network: Path,
    splits: dict[str, Split],
    votes: dict[str, Votes],
    *,
    split_name: str | None,
    output: Path,
    card: Path | None,
) -> Path:
    """Evaluate an export folder or a `.tflite` file on one split; return the report's folder.

    Without `split_name` the split is PublicTest, or the first of EVALUATION that the dataset has.
    If there is only Training, it is the part of it that was held out of the training. Writes the
    report under `output`, and the model card of a `.tflite` file to `card`, if given.
    """
    if card and network.is_dir():
        raise ModelFileError(
            f"{network}: a model card describes a .tflite file; name one, or omit --card."
        )
    model = load_model(network, splits["Training"].labels)
    splits, votes = _with_held_out(splits, votes, model)
    if split_name is None and HELD_OUT not in splits and not set(EVALUATION[:-1]) & set(splits):
        print("the dataset has no split but Training: the network may have been trained on it")
    split_name = split_name or next(name for name in EVALUATION if name in splits)
    folder = output / network.name / split_name
    if (split := splits.get(split_name)) is None:
        raise DatasetError(f"the dataset has no split {split_name} (found: {', '.join(splits)}).")
    metrics = evaluate(
        model.classify,
        split,
        votes=votes.get(split_name),
        annotations=model.annotations,
        temperature=model.temperature,
    )
    if metrics["votes"] is None and split.dataset == FER2013:
        print(f"no {VOTES_FILE} with votes on {split_name}: no figures for FER+'s labels")
    metrics["model"] = model.facts()
    metrics["also_in_training"] = int(duplicates_of(split.x, splits["Training"].x).sum())
    write_report(metrics, split, folder, title=f"{network.name} on {split_name}")
    if card:
        write_text(card, make_card(model.spec, metrics))
    print(headline(metrics))
    return folder


def _with_held_out(
    splits: dict[str, Split], votes: dict[str, Votes], model: LoadedModel
) -> tuple[dict[str, Split], dict[str, Votes]]:
    """Divide Training as the training of `model` did, if that held out a part of this dataset."""
    training, spec = splits["Training"], model.spec
    dataset = spec.get("dataset", {})
    if (dataset.get("validation"), dataset.get("name")) != (HELD_OUT, training.dataset):
        return splits, votes
    rest, held = hold_out(training, spec["training"]["seed"])
    parts = {"Training": rest, HELD_OUT: held}
    divided = {name: replace(training.take(rows), name=name) for name, rows in parts.items()}
    if "Training" in votes:
        votes = votes | {name: votes["Training"].take(rows) for name, rows in parts.items()}
    return splits | divided, votes


def headline(metrics: dict[str, Any]) -> str:
    """Return a line for the terminal: accuracy and mean recall for each set of labels."""
    figures = ", ".join(
        f"{name} accuracy {found['accuracy']:.2%}, mean recall {found['mean_recall']:.2%}"
        for name, found in metrics["sets"].items()
    )
    return f"{metrics['split']}: {figures}"


def _mistakes(answers: NDArray[np.float32], labels: LabelSet) -> list[dict[str, Any]]:
    """Return the wrong answers with the highest scores: row, label, answer and score."""
    predicted, scores = answers.argmax(axis=1), answers.max(axis=1)
    wrong = np.flatnonzero(predicted != labels.y)
    return [
        {
            "row": int(labels.rows[i]),
            "label": int(labels.y[i]),
            "answer": int(predicted[i]),
            "score": round(float(scores[i]), 3),
        }
        for i in wrong[np.argsort(-scores[wrong], kind="stable")][:MISTAKES]
    ]


def _repeated(split: Split) -> NDArray[np.int64]:
    """Return the indices of the faces of `split` that repeat an earlier one, exactly or nearly."""
    return np.unique([pair.second for pair in near_pairs(split.x)]).astype(np.int64)
