"""`python -m convert EXPORT_DIR [options]` and `python -m convert inspect FILE`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from convert import inspection, quiet, variants
from convert.errors import ConvertError
from convert.gate import Limits

PROGRAM = "python -m convert"
OLD_PYTHON = Path(".venv", "tflite-runtime", "bin", "python")  # made by the Makefile


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 on success, 1 if the gate refused, 2 if something was unusable."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["inspect"]:
            _inspect(arguments[1:])
        else:
            _convert(arguments)
        sys.stdout.flush()
    except ConvertError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:  # a reader such as `head` has closed its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _inspect(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} inspect", description="Show the content of a .tflite file."
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    print(inspection.describe(parser.parse_args(arguments).file))


def _convert(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Convert an exported network to .tflite files and check them.",
        epilog=f"To show the content of a .tflite file: {PROGRAM} inspect FILE",
    )
    parser.add_argument("folder", type=Path, metavar="EXPORT_DIR", help="written by train")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the model to write, its reports beside it (default: models/EXPORT_DIR's name.tflite)",
    )
    parser.add_argument(
        "--variants",
        choices=variants.CHOICES,
        default="int8",
        help="all writes int8 as FILE, and .float32.tflite, .float16.tflite and .dynamic.tflite "
        "beside it (default: %(default)s)",
    )
    parser.add_argument(
        "--tflite-runtime",
        type=Path,
        metavar="PYTHON",
        default=OLD_PYTHON,
        help="a Python that has tflite-runtime 2.14, to compare with (default: %(default)s)",
    )
    _add_limits(parser)
    options = parser.parse_args(arguments)
    target = options.output or Path("models", f"{options.folder.resolve().name}.tflite")
    quiet.configure_tensorflow()
    # Imported here: `inspect` needs no TensorFlow.
    from convert.conversion import convert  # noqa: PLC0415
    from convert.runtimes import TENSORFLOW, tflite_runtime  # noqa: PLC0415

    convert(
        options.folder,
        target,
        chosen=variants.CHOICES[options.variants],
        limits=_limits(options),
        runtimes=(TENSORFLOW, tflite_runtime(options.tflite_runtime)),
        command=shlex.join([*PROGRAM.split(), *arguments]),
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    default = Limits()
    group = parser.add_argument_group(
        "limits of the gate, compared with the Keras network unless it says otherwise"
    )
    for name, value, unit, what in (
        ("--max-accuracy-drop", 100 * default.accuracy_drop, "POINTS", "accuracy lost"),
        ("--min-agreement", 100 * default.agreement, "PERCENT", "images with the same top class"),
        ("--max-recall-drop", 100 * default.recall_drop, "POINTS", "recall any class loses"),
        ("--max-mean-kl", default.mean_kl, "NATS", "mean Kullback-Leibler divergence"),
        (
            "--min-runtime-agreement",
            100 * default.runtime_agreement,
            "PERCENT",
            "images with the same top class on another runtime as on LiteRT",
        ),
        (
            "--max-runtime-difference",
            default.runtime_difference,
            "PROBABILITY",
            "difference of any probability from LiteRT's",
        ),
    ):
        help_text = f"{what} (default: %(default)g)"
        group.add_argument(name, type=_limit, default=value, metavar=unit, help=help_text)


def _limit(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 or more")
    return number


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(
        accuracy_drop=options.max_accuracy_drop / 100,
        agreement=options.min_agreement / 100,
        recall_drop=options.max_recall_drop / 100,
        mean_kl=options.max_mean_kl,
        runtime_agreement=options.min_runtime_agreement / 100,
        runtime_difference=options.max_runtime_difference,
    )


if __name__ == "__main__":
    sys.exit(main())
