"""`python -m train`: `fit DATASET` writes `exports/<name>/`, `explore DATASET` a page about it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from train.dataset import Split, describe, duplicates_of, read_dataset
from train.dataset import stratified_split as split_off
from train.errors import TrainError

VALIDATION_FRACTION = 0.05
DATASET_HELP = "fer2013.csv[.gz|.xz|.tar.gz|.zip] or a folder"


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 when all is written, 2 where the user has to mend something."""
    options = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
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
    """Write the page about the dataset; FER+'s votes are used where they lie beside it."""
    from train.explore import explore  # noqa: PLC0415
    from train.ferplus import FILE, read_votes  # noqa: PLC0415

    beside = options.dataset if options.dataset.is_dir() else options.dataset.parent
    votes = read_votes(beside / FILE) if (beside / FILE).exists() else {}
    summary = explore(splits, votes, options.output)
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
    import keras  # noqa: PLC0415

    from train.architectures import ARCHITECTURES  # noqa: PLC0415
    from train.evaluate import evaluate, write_report  # noqa: PLC0415
    from train.export import export  # noqa: PLC0415
    from train.fit import Recipe, fit  # noqa: PLC0415

    training, validation, test = prepare(splits, options.seed)
    recipe = Recipe.of(options.arch, epochs=options.epochs, seed=options.seed)
    keras.utils.set_random_seed(recipe.seed)
    network = ARCHITECTURES[options.arch]()
    print(f"{options.arch}: {network.count_params():,} parameters, {recipe.epochs} epochs")
    folder = options.output / options.name
    fit(network, training, validation, recipe, folder / "work")
    metrics = evaluate(network, test)
    write_report(metrics, folder / "report")
    shutil.copy(folder / "work" / "curves.png", folder / "report" / "curves.png")
    export(
        network,
        recipe,
        name=options.name,
        folder=folder,
        training=training,
        test=test,
        metrics=metrics,
    )
    print(f"{test.name}: accuracy {metrics['accuracy']:.2%}, macro-F1 {metrics['macro_f1']:.3f}")
    print(f"wrote {folder}; next: make convert NAME={options.name}")


def prepare(splits: dict[str, Split], seed: int) -> tuple[Split, Split, Split]:
    """The splits for training, for choosing the epoch, and for the figures, in this order.

    Validation is a stratified part of Training. Faces of the other two that also stand in
    Training, pixel for pixel, are left out of it: FER2013 repeats many across its splits.
    Without a test split the validation part serves as one.
    """
    whole = splits["Training"]
    rest, held_out = split_off(whole.y, VALIDATION_FRACTION, seed)
    training, validation = whole.take(rest), whole.take(held_out)
    test = splits.get("PublicTest", validation)
    for other in (validation, test):
        repeated = duplicates_of(training.x, other.x)
        training = training.take((~repeated).nonzero()[0])
    left_out = len(rest) - len(training.y)
    print(f"training on {len(training.y)} faces, {len(validation.y)} held out to choose the epoch;")
    print(f"{left_out} left out: they stand in the held-out part or in {test.name} too")
    return training, validation, test


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(required=True)

    fit = commands.add_parser("fit", help="train a network and export it")
    fit.set_defaults(action=run_fit)
    fit.add_argument("dataset", type=Path, help=DATASET_HELP)
    fit.add_argument("--arch", choices=("compact", "seed"), default="compact")
    fit.add_argument("--name", default="expression", help="name of the export")
    fit.add_argument("--epochs", type=_positive, help="default: the architecture's own recipe")
    fit.add_argument("--seed", type=int, default=1)
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
