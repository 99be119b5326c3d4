"""The process's memory: nothing in; a C heap and a garbage collector fit for a stream of frames."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from typing import Final

M_TRIM_THRESHOLD: Final = -1  # mallopt(3)
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
KEPT_BYTES: Final = 32 << 20  # a frame of 3840x2160 has 24 MiB


def share_heap() -> None:
    """Have all threads share one heap; to be called before there are others.

    glibc gives a thread a heap of its own, and a frame is allocated by the thread that reads it
    and freed by another: each heap keeps room for frames that the next could use. One
    saves 3 to 5 MB. Other C libraries have no such heaps.
    """
    _mallopt(M_ARENA_MAX, 1)


def settle_heap() -> None:
    """Make ready for frames; to be called when everything is built and before the first comes.

    What starting left behind is freed, and what is there now is never looked at for garbage
    again: modules above all, and a full collection stops every thread. From now on glibc keeps the
    pages of freed frames; else the kernel has to clear them anew for each next one, 180 page
    faults and a tenth of its time.
    """
    gc.collect()
    gc.freeze()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    _mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    _mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _mallopt(parameter: int, value: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(parameter, value)
