"""`python -m train`: `fit DATASET` writes `exports/<name>/`, `explore DATASET` a page about it."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

from train.dataset import Split, describe, read_dataset
from train.errors import TrainError
from train.ferplus import read_votes_beside

DATASET_HELP = "fer2013.csv[.gz|.xz|.tar.gz|.zip] or a folder"


def _share(text: str) -> float:
    if not 0 <= (number := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{number:g} is not between 0 and 1")
    return number


RECIPE_OPTIONS: dict[str, tuple[str, Callable[[str], object]]] = {
    "votes": ("share of FER+'s votes in the targets, 0 to 1", _share),
    "balance": ("how far rare classes weigh more, 0 to 1", _share),
    "mixup": ("mixup's alpha, 0 for none", _share),
    "average": ("momentum of the weights' moving average, 0 for none", _share),
    "precision": ("float32, or mixed_bfloat16 where the hardware is faster with it", str),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 when all is written, 2 where the user has to mend something."""
    options = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log file tells of the epoch it is in
    try:
        splits = read_dataset(options.dataset)
        for split in splits.values():
            print(describe(split))
        options.action(splits, options)
    except TrainError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntrain: stopped; the same command goes on from the last epoch.", file=sys.stderr)
        return 130
    return 0


def run_explore(splits: dict[str, Split], options: argparse.Namespace) -> None:
    """Write the page about the dataset."""
    from train.explore import explore  # noqa: PLC0415

    summary = explore(splits, read_votes_beside(options.dataset), options.output)
    for name, copies in summary["copies"].items():
        print(f"{name}: {copies['exact']} exact copies, {copies['exact_or_near']} with near ones")
    print(
        f"{summary['groups_with_conflicting_labels']} groups of copies with conflicting labels, "
        f"{summary['no_faces']} pictures without a face"
    )
    print(f"wrote {options.output / 'index.html'}")


def run_fit(splits: dict[str, Split], options: argparse.Namespace) -> None:
    """Train, evaluate and export as `options` say."""
    # Keras is imported only now, so that a wrong dataset is reported at once.
    from train.run import run  # noqa: PLC0415

    changes = {name: getattr(options, name) for name in ("epochs", "seed", *RECIPE_OPTIONS)}
    run(
        splits,
        read_votes_beside(options.dataset),
        architecture=options.arch,
        changes=changes,
        name=options.name,
        folder=options.output / options.name,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(required=True)

    fit = commands.add_parser("fit", help="train a network and export it")
    fit.set_defaults(action=run_fit)
    fit.add_argument("dataset", type=Path, help=DATASET_HELP)
    fit.add_argument("--arch", choices=("compact", "seed"), default="compact")
    fit.add_argument("--name", default="expression", help="name of the export")
    fit.add_argument("--epochs", type=_positive, help="default: the architecture's own recipe")
    fit.add_argument("--seed", type=int)
    for name, (text, kind) in RECIPE_OPTIONS.items():
        fit.add_argument(f"--{name}", type=kind, help=f"{text}; default: the recipe's own")
    fit.add_argument("--output", type=Path, default=Path("exports"))

    explore = commands.add_parser("explore", help="write a page about a dataset")
    explore.set_defaults(action=run_explore)
    explore.add_argument("dataset", type=Path, help=DATASET_HELP)
    explore.add_argument("--output", type=Path, default=Path("exports/explore"))
    return parser


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


if __name__ == "__main__":
    sys.exit(main())
