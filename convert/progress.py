"""Shows the progress of a conversion on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tqdm import tqdm

from convert.export_folder import Images, Pixels

DELAY_S = 1.0  # a loop that takes less shows no bar


def watched(images: Images) -> Iterable[Pixels]:
    """Return `images`; iterating shows a progress bar on stderr if that is a terminal."""
    return tqdm(
        images, unit="image", leave=False, dynamic_ncols=True, delay=DELAY_S,
        disable=not sys.stderr.isatty(),
    )  # fmt: skip
