"""The options and arguments of the larger subcommands of `mien`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from edge_daemon.config.file import DEFAULT_NAME

DEFAULT_CONFIG: Final = Path(DEFAULT_NAME)


def add_configuration(command: argparse.ArgumentParser) -> None:
    """Add the options that choose and change the configuration."""
    command.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None,
        help="the configuration file; by default config.yaml in this folder, if there is one",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, for example --set camera.source=demo",
    )


def add_report(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `mien report`."""
    command.add_argument(
        "logs", nargs="+", type=Path, metavar="LOG",
        help="event logs, archives of MQTT messages as JSON lines, their .gz, or folders of these",
    )  # fmt: skip
    command.add_argument(
        "--out", action="append", required=True, type=Path, metavar="FILE",
        help="write FILE.html, a page, or FILE.csv or FILE.parquet, a table; can be repeated",
    )  # fmt: skip
    command.add_argument(
        "--by", choices=("minute", "quarter", "hour", "day"), default="hour",
        help="the length of the rows of tables; an hour by default",
    )  # fmt: skip
    command.add_argument(
        "--time-zone", default="", metavar="NAME",
        help="of days and hours, such as Europe/Berlin; by default the system's",
    )  # fmt: skip
    command.add_argument(
        "--least-faces", type=positive, default=0, metavar="N",
        help="hide periods with fewer faces, and those from which they could be calculated",
    )  # fmt: skip


def add_files(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `mien classify`."""
    command.add_argument("paths", nargs="+", metavar="PATH", help="a picture, a video or a folder")
    command.add_argument("--out", type=Path, metavar="DIR", help="write annotated copies to DIR")
    command.add_argument(
        "--format",
        choices=("jsonl", "csv"),
        default="jsonl",
        help="the format of the printed lines (default: %(default)s)",
    )
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=positive, metavar="N", help="processes; by default one per core"
    )
    where.add_argument(
        "--ray", default="", metavar="ADDRESS", help="a Ray cluster: auto, local, ray://HOST:10001"
    )


def positive(text: str) -> int:
    """Return a whole number of at least 1; the type of an option for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)
