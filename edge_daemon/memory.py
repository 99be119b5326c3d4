"""Tunes the C heap and the garbage collector for a stream of frames."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from typing import Final

M_TRIM_THRESHOLD: Final = -1  # mallopt(3)
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
KEPT_BYTES: Final = 32 << 20  # a frame of 3840x2160 has 24 MiB


def prepare_heap() -> None:
    """Make all threads share one heap, and start without garbage collection.

    Call it while there is only one thread, before the modules are imported: collecting while they
    are takes a tenth of the start. `settle_heap` turns the collection on again.

    glibc gives each thread a heap of its own. A frame is allocated by the thread that reads it and
    freed by another, so each heap keeps room that another could use. One heap saves 3 to 5 MB.
    Other C libraries have no such heaps.
    """
    gc.disable()
    _mallopt(M_ARENA_MAX, 1)


def settle_heap() -> None:
    """Prepare the heap for frames; call it when everything is built, before the first frame.

    Frees what starting left behind, and exempts the objects that exist now from garbage
    collection: most belong to modules, and a full collection stops every thread. From now on glibc
    keeps the pages of freed frames; otherwise the kernel clears new ones for each frame, which
    costs 180 page faults and a tenth of the time per frame.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    _mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    _mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _mallopt(parameter: int, value: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(parameter, value)
