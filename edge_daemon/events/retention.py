"""Files in, fewer files out: the oldest go until the rest is small and young enough."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path


def prune(files: Sequence[Path], *, keep_bytes: float, keep_s: float) -> int:
    """Delete of `files`, oldest first, what is above `keep_bytes` in all or older than `keep_s`.

    A `keep_s` of 0 keeps any age. Returns how many were deleted. Raises OSError.
    """
    left = list(files)
    sizes = {path: path.stat().st_size for path in files}
    total, now = sum(sizes.values()), time.time()
    while left:
        too_old = keep_s > 0 and now - left[0].stat().st_mtime > keep_s
        if total <= keep_bytes and not too_old:
            break
        oldest = left.pop(0)
        oldest.unlink()
        total -= sizes[oldest]
    return len(files) - len(left)
