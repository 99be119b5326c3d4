"""`python -m train evaluate`: a network's file and a dataset in; report and model card out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from train.card import make_card
from train.checkpoints import write_text
from train.dataset import Split, duplicates_of
from train.errors import DatasetError, ModelFileError
from train.evaluate import evaluate
from train.ferplus import FILE, Votes
from train.report import write_report
from train.trained import read_trained


def examine(
    network: Path,
    splits: dict[str, Split],
    votes: dict[str, Votes],
    *,
    split_name: str,
    folder: Path,
    card: Path | None,
) -> dict[str, Any]:
    """Evaluate an export folder or a `.tflite` file on one split; returns what the report says.

    The report goes to `folder`, the card of a `.tflite` file to `card`, if given.
    """
    if (split := splits.get(split_name)) is None:
        raise DatasetError(f"the dataset has no split {split_name} (found: {', '.join(splits)}).")
    if card and network.is_dir():
        raise ModelFileError(f"{network}: a card is of a .tflite file; name that, or leave --card.")
    trained = read_trained(network)
    metrics = evaluate(
        trained.classify, split, votes=votes.get(split_name), temperature=trained.temperature
    )
    if metrics["ferplus"] is None:
        print(f"no {FILE} with votes on {split_name}: no figures on FER+'s labels")
    metrics["model"] = trained.facts()
    metrics["also_in_training"] = int(duplicates_of(split.x, splits["Training"].x).sum())
    write_report(metrics, folder, title=f"{network.name} on {split_name}")
    if card:
        write_text(card, make_card(trained.spec, metrics))
    return metrics
