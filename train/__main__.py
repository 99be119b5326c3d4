"""`python -m train`: `fit`, `distil`, `average` and `import` write exports, the others reports.

Each command reads a dataset; `evaluate` also reads an export or a TFLite file, `import` a Keras
file.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

from train.dataset import (
    FER2013,
    LABELS,
    Split,
    describe,
    first_of_each_class,
    read_dataset,
)
from train.errors import TrainError
from train.ferplus import Votes, read_votes_beside
from train.options import (
    class_names,
    contempt,
    natural,
    positive,
    rate,
    share,
    strength,
    temperature,
)
from train.quiet import configure_tensorflow, quiet_stderr
from train.spec_file import labels_of

DATASET_HELP = "fer2013.csv[.gz|.xz|.tar.gz|.zip], or a folder or .zip of class folders"
# The options that change a recipe, by the names of its fields.
RECIPE_OPTIONS = (
    "epochs", "seed", "learning_rate", "votes_head", "balance", "mixup", "average", "hardening",
    "precision", "teacher", "teachers", "teacher_temperature", "teacher_share",
)  # fmt: skip
ARCHITECTURES = ("compact", "seed", "resnet18", "slim-resnet18")


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 if everything was written, 2 if the user has to fix something."""
    options = _parser().parse_args(argv)
    configure_tensorflow()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that a log file is up to date
    try:
        labels = options.labels or labels_of(options.network)
        splits = read_dataset(options.dataset, labels, strict=options.strict)
        for split in splits.values():
            print(describe(split))
        options.action(splits, options)
    except TrainError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where, what = error.filename or options.output, error.strerror or error
        print(f"train: {where}: {what}; fix that and run the same command again.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\ntrain: stopped; the same command continues after the last whole epoch.",
            file=sys.stderr,
        )
        return 130
    return 0


def run_explore(splits: dict[str, Split], options: argparse.Namespace) -> None:
    """Write the report on the dataset."""
    with quiet_stderr():
        from train.explore import explore  # noqa: PLC0415

    summary = explore(splits, _votes(splits, options.dataset), options.output)
    for name, copies in summary["copies"].items():
        print(f"{name}: {copies['exact']} exact copies, {copies['exact_or_near']} with near ones")
    print(
        f"{summary['groups_with_conflicting_labels']} groups of copies with conflicting labels, "
        f"{summary['no_faces']} pictures without a face"
    )
    print(f"wrote {options.output / 'index.html'}")


def run_fit(splits: dict[str, Split], options: argparse.Namespace) -> None:
    """Train, evaluate and export a network."""
    folder = options.output / options.name
    _check_writable(folder)
    # Keras is imported only here, so that a wrong dataset is reported at once.
    with quiet_stderr():
        from train.devices import Cluster, use_all_devices  # noqa: PLC0415
        from train.run import run  # noqa: PLC0415

    votes = _votes(splits, options.dataset)
    if options.faces_per_class:
        splits, votes = _reduced(splits, votes, options.faces_per_class)
    if options.devices == "all":
        hosts = options.coordinator, options.processes, options.process
        use_all_devices(Cluster(*hosts) if options.coordinator else None)
    changes = {name: getattr(options, name, None) for name in RECIPE_OPTIONS}
    if options.teacher_files:
        changes |= {"teachers": len(options.teacher_files), "teacher": ""}
    run(
        splits,
        votes,
        architecture=options.arch,
        changes=changes,
        start=options.start,
        teacher_files=options.teacher_files,
        teacher_epochs=options.teacher_epochs,
        name=options.name,
        folder=folder,
    )


def _votes(splits: dict[str, Split], dataset: Path) -> dict[str, Votes]:
    """FER+'s votes beside the dataset, if it is FER2013."""
    training = splits["Training"]
    return read_votes_beside(dataset, len(training.labels)) if training.dataset == FER2013 else {}


def _reduced(
    splits: dict[str, Split], votes: dict[str, Votes], faces: int
) -> tuple[dict[str, Split], dict[str, Votes]]:
    """Return the first `faces` of each class of every split, with their votes."""
    rows = {name: first_of_each_class(split.y, faces) for name, split in splits.items()}
    print(f"using at most {faces} faces of each class: for a trial, not for a good network")
    return (
        {name: split.take(rows[name]) for name, split in splits.items()},
        {name: each.take(rows[name]) for name, each in votes.items() if name in rows},
    )


def _check_writable(folder: Path) -> None:
    """Make `folder`. Raises OSError before hours of training if it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def run_evaluate(splits: dict[str, Split], options: argparse.Namespace) -> None:
    """Write the report on a network, and its model card if asked."""
    with quiet_stderr():
        from train.evaluate import evaluate_file  # noqa: PLC0415

    folder = evaluate_file(
        options.network,
        splits,
        _votes(splits, options.dataset),
        split_name=options.split,
        output=options.output,
        card=options.card,
    )
    print("\n".join(f"wrote {path}" for path in (folder / "index.html", options.card) if path))


def run_average(splits: dict[str, Split], options: argparse.Namespace) -> None:
    """Export the mean of several trainings."""
    folder = options.output / options.name
    _check_writable(folder)
    with quiet_stderr():
        from train.averaging import average  # noqa: PLC0415

    votes = _votes(splits, options.dataset)
    average(splits, votes, options.networks, name=options.name, folder=folder)


def run_import(splits: dict[str, Split], options: argparse.Namespace) -> None:
    """Export a Keras network that was trained elsewhere."""
    folder = options.output / options.name
    _check_writable(folder)
    with quiet_stderr():
        from train.external import import_network  # noqa: PLC0415

    scores = import_network(
        options.network, splits, pixels=options.pixels, name=options.name, folder=folder
    )
    print(f"accuracy {scores['accuracy']:.2%} on {scores['faces']} faces, as imported")
    print(f"wrote {folder}; next: make convert NAME={options.name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(required=True)

    fit = commands.add_parser("fit", help="train a network and export it")
    _add_training(fit)
    fit.add_argument("--arch", choices=ARCHITECTURES, default="compact")
    fit.add_argument("--coordinator", help="host:port of the first of several hosts")
    fit.add_argument("--processes", type=positive, help="how many hosts there are")
    fit.add_argument("--process", type=natural, help="which of them this is, from 0")
    fit.set_defaults(teacher_epochs=0, teacher_files=[])

    distil = commands.add_parser("distil", help="train teachers, then a student from their answers")
    _add_training(distil)
    distil.add_argument("--teacher", choices=ARCHITECTURES, default="resnet18")
    distil.add_argument("--teachers", type=positive, default=3, help="how many of them")
    distil.add_argument(
        "--teacher-files", type=Path, nargs="+", default=[], metavar="FILE",
        help="exports or .tflite files to learn from, instead of training teachers",
    )  # fmt: skip
    distil.add_argument("--teacher-epochs", type=positive, default=120)
    distil.add_argument("--teacher-temperature", type=temperature, default=3.0)
    distil.add_argument(
        "--teacher-share", type=share, default=0.7, help="share of the loss of their answers"
    )
    distil.set_defaults(arch="compact", coordinator=None)

    explore = commands.add_parser("explore", help="write a report on a dataset")
    explore.set_defaults(action=run_explore)
    _add_dataset(explore)
    explore.add_argument("--output", type=Path, default=Path("exports/explore"))

    evaluate = commands.add_parser("evaluate", help="write a report on a trained network")
    evaluate.set_defaults(action=run_evaluate)
    evaluate.add_argument("network", type=Path, help="a folder that fit wrote, or a .tflite file")
    _add_dataset(evaluate, labels=None)
    evaluate.add_argument("--split", help="default: PublicTest, or what there is instead")
    evaluate.add_argument("--card", type=Path, help="write a .tflite file's model card here")
    evaluate.add_argument("--output", type=Path, default=Path("exports/evaluate"))

    averaged = commands.add_parser("average", help="export the mean of several trainings' weights")
    averaged.set_defaults(action=run_average)
    _add_dataset(averaged)
    averaged.add_argument("networks", type=Path, nargs="+", help="folders that fit or distil wrote")
    averaged.add_argument("--name", default="average", help="name of the export")
    averaged.add_argument("--output", type=Path, default=Path("exports"))

    external = commands.add_parser("import", help="export a Keras network from outside")
    external.set_defaults(action=run_import)
    external.add_argument("network", type=Path, help="a whole network, .keras or .h5")
    _add_dataset(external)
    external.add_argument("--name", required=True, help="name of the export")
    external.add_argument("--output", type=Path, default=Path("exports"))
    external.add_argument(
        "--pixels",
        choices=("0..255", "0..1", "-1..1"),
        default="0..255",
        help="what the network takes for black and white (default: %(default)s)",
    )
    return parser


def _add_dataset(command: argparse.ArgumentParser, labels: tuple[str, ...] | None = LABELS) -> None:
    """Add the dataset and how to read it; without `labels` they are those of the network."""
    command.add_argument("dataset", type=Path, help=DATASET_HELP)
    classes = command.add_mutually_exclusive_group()
    classes.add_argument(
        "--labels",
        type=class_names,
        default=labels,
        metavar="A,B,…",
        help=f"the classes, in order (default: {','.join(labels or ()) or 'the network’s'})",
    )
    if labels:
        classes.add_argument(
            "--contempt",
            dest="labels",
            type=contempt,
            default=labels,
            metavar="yes",
            help="add the class contempt, which FER+'s voters have and FER2013's labels do not",
        )
    command.add_argument(
        "--strict", action="store_true", help="refuse pictures in color or not of 48×48 pixels"
    )


def _add_training(command: argparse.ArgumentParser) -> None:
    """Add the options of `fit` and `distil`; one not given leaves the recipe's default."""
    own = "default: the recipe's"
    command.set_defaults(action=run_fit)
    _add_dataset(command)
    command.add_argument("--name", default="expression", help="name of the export")
    command.add_argument("--output", type=Path, default=Path("exports"))
    command.add_argument(
        "--faces-per-class", type=positive, metavar="N", help="train on so few, for a trial"
    )
    command.add_argument("--epochs", type=positive, help=own)
    command.add_argument("--seed", type=natural, help=own)
    command.add_argument("--learning-rate", type=rate, help=f"the largest; {own}")
    command.add_argument(
        "--votes-head",
        type=share,
        help=f"share of the loss of a second head, for FER+'s votes, 0 for none; {own}",
    )
    command.add_argument("--balance", type=share, help=f"1 weighs all classes alike; {own}")
    command.add_argument("--mixup", type=share, help=f"mixup's alpha, 0 for none; {own}")
    command.add_argument(
        "--average", type=share, help=f"momentum of the weights' moving average; {own}"
    )
    command.add_argument(
        "--hardening", type=strength, help=f"strength of the augmentation in the last third; {own}"
    )
    command.add_argument("--precision", choices=("float32", "mixed_bfloat16"), help=own)
    command.add_argument(
        "--start", type=Path, metavar="FILE", help="an export or .tflite file to start from"
    )
    command.add_argument("--devices", choices=("one", "all"), default="one")


if __name__ == "__main__":
    sys.exit(main())
