"""`python -m convert EXPORT_DIR [--output FILE]` and `python -m convert inspect FILE`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from convert import inspection, quiet
from convert.errors import ConvertError

PROGRAM = "python -m convert"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if it worked, 1 if the gate refused, 2 if something was unusable."""
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
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _inspect(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} inspect", description="Show what a .tflite file holds."
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    print(inspection.describe(parser.parse_args(arguments).file))


def _convert(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Quantise an exported network to an int8 .tflite file and check it.",
        epilog=f"To show what a .tflite file holds: {PROGRAM} inspect FILE",
    )
    parser.add_argument("folder", type=Path, metavar="EXPORT_DIR", help="written by train")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the model to write, its reports beside it (default: models/EXPORT_DIR's name.tflite)",
    )
    options = parser.parse_args(arguments)
    target = options.output or Path("models", f"{options.folder.resolve().name}.tflite")
    quiet.configure_tensorflow()
    from convert.conversion import convert  # noqa: PLC0415  # `inspect` does without TensorFlow

    convert(options.folder, target, shlex.join([*PROGRAM.split(), *arguments]))


if __name__ == "__main__":
    sys.exit(main())
