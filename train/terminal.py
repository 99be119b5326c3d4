"""Tells a user at a terminal how far a command is, and how long it takes."""

from __future__ import annotations

import math
import sys
from typing import NoReturn

from tqdm import tqdm

Bar = tqdm  # of progress


def progress_bar(total: int, title: str, *, unit: str) -> Bar[NoReturn]:
    """A bar on stderr, which disappears at its end; nothing where stderr is no terminal."""
    return tqdm(
        total=total, desc=title, unit=unit, leave=False, dynamic_ncols=True,
        disable=not sys.stderr.isatty(),
    )  # fmt: skip


def duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
