"""Shows on a terminal how far a conversion is."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tqdm import tqdm

from convert.export_folder import Images, Pixels

DELAY_S = 1.0  # what takes less shows nothing


def watched(images: Images) -> Iterable[Pixels]:
    """Return the images one by one, with a bar on stderr where that is a terminal."""
    return tqdm(
        images, unit="image", leave=False, dynamic_ncols=True, delay=DELAY_S,
        disable=not sys.stderr.isatty(),
    )  # fmt: skip
