"""Shows the progress of a command on a terminal, and formats durations."""

from __future__ import annotations

import math
import sys
from typing import NoReturn

from tqdm import tqdm

Bar = tqdm  # of progress


def progress_bar(total: int, title: str, *, unit: str) -> Bar[NoReturn]:
    """Return a bar on stderr that disappears at its end; it is hidden if stderr is no terminal."""
    return tqdm(
        total=total, desc=title, unit=unit, leave=False, dynamic_ncols=True,
        disable=not sys.stderr.isatty(),
    )  # fmt: skip


def duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
