"""The C library's heap: nothing in, one heap for all threads."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

M_ARENA_MAX: Final = -8  # mallopt(3)


def share_heap() -> None:
    """Have all threads share one heap; to be called before there are others.

    glibc gives a thread a heap of its own, and a frame is allocated by the thread that reads it
    and freed by another: each heap keeps room for frames that the next could use. One
    saves 3 to 5 MB. Other C libraries have no such heaps.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
