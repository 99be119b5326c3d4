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
    """Have all threads share one heap that keeps its pages; to be called before there are others.

    glibc gives a thread a heap of its own, and a frame is allocated by the thread that reads it
    and freed by another: each heap keeps room for frames that the next could use. One saves 3 to
    5 MB. And it gives the pages of a freed frame back to the kernel, which has to clear them for
    the next frame: a tenth of a frame's time. Other C libraries have neither.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def settle_heap() -> None:
    """Free what starting left behind, and have what is there now never looked at for garbage.

    A full collection stops every thread; of what starting makes, modules above all, none of it
    would find garbage.
    """
    gc.collect()
    gc.freeze()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
