"""Converts an export without the processes of other runtimes, which take seconds to start."""

from __future__ import annotations

from pathlib import Path

from convert import variants
from convert.conversion import convert
from convert.gate import Limits


def convert_on_litert(folder: Path, target: Path, choice: str) -> None:
    """Convert to the variants of `choice`, compared on LiteRT alone. Raises ConvertError."""
    chosen = variants.CHOICES[choice]
    convert(folder, target, chosen=chosen, limits=Limits(), runtimes=(), command="")
