"""Tunes the C heap and the garbage collector for a stream of frames."""

from __future__ import annotations

import ctypes
import gc
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

M_TRIM_THRESHOLD: Final = -1  # mallopt(3)
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
KEPT_BYTES: Final = 32 << 20  # a frame of 3840x2160 has 24 MiB
GROWN_BYTES: Final = 12 << 20
CHECK_EVERY_S: Final = 5.0
TRIM_EVERY_S: Final = 20.0  # not more often: the kernel has to clear new pages for the next frame
STATM: Final = Path("/proc/self/statm")


def prepare_heap() -> None:
    """Make all threads share one heap, and turn garbage collection off.

    Call it while there is only one thread and before the modules are imported: garbage collection
    during the imports takes a tenth of the start. `settle_heap` turns it on again.

    glibc gives each thread a heap of its own. A frame is allocated by the thread that reads it and
    freed by another, so each heap keeps memory that another could use. One heap saves 3 to 5 MB.
    Other C libraries have no such heaps.
    """
    gc.disable()
    _mallopt(M_ARENA_MAX, 1)


def keep_frames() -> None:
    """Let glibc keep the pages of freed frames; call it when everything is built.

    Otherwise the kernel clears new ones for each frame, which costs 180 page faults and a tenth of
    the time per frame.
    """
    _mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    _mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def settle_heap() -> None:
    """Free the memory that only the start needed, keep that of frames, and collect garbage again.

    Exempts the objects that exist now from garbage collection: most belong to modules, and a full
    collection stops every thread. This first one takes a twelfth of the time of the start, so the
    daemon does it after the first pictures.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    _trim()
    keep_frames()


class HeapTrimmer:
    """Settles the heap, and gives freed memory back to the system after the process has grown.

    Large uploads, tried models and hashed passwords leave gaps in the heap that frames never use.
    """

    def __init__(self) -> None:
        self._first_bytes = self._checked_s = self._trimmed_s = 0.0

    def check(self) -> None:
        """Settle the heap at the first call.

        Later calls trim it if GROWN_BYTES more are in use than then, once in TRIM_EVERY_S.
        """
        now_s = time.monotonic()
        if not self._checked_s:
            settle_heap()
        elif now_s < self._checked_s + CHECK_EVERY_S:
            return
        self._checked_s, resident = now_s, _resident_bytes()
        if not self._first_bytes:
            self._first_bytes = resident
        if resident > self._first_bytes + GROWN_BYTES and now_s > self._trimmed_s + TRIM_EVERY_S:
            self._trimmed_s = now_s
            _trim()


def _resident_bytes() -> int:
    """Return the process's resident memory; 0 where the system does not tell it."""
    try:
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _trim() -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _mallopt(parameter: int, value: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(parameter, value)
