"""Progress bar: units of work done in, one line that is drawn over and over on a terminal out."""

from __future__ import annotations

import time
from typing import Final, TextIO

REDRAW_S: Final = 0.2
WIDTH: Final = 24
CLEAR: Final = "\r\x1b[K"


class ProgressBar:
    """How much of `total` is done, how fast, and how long it still takes; silent off a terminal.

    Without a `total` (0) it counts only.
    """

    def __init__(self, terminal: TextIO, total: int) -> None:
        self._terminal, self._total = terminal, total
        self._shown = terminal.isatty()
        self._done = 0
        self._started_s = time.monotonic()
        self._drawn_s = 0.0

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        now_s = time.monotonic()
        if self._shown and now_s - self._drawn_s >= REDRAW_S:
            self._drawn_s = now_s
            self._write(CLEAR + line(self._done, self._total, now_s - self._started_s))

    def clear(self) -> None:
        """Take the line away, before something else is written there or at the end."""
        if self._shown:
            self._write(CLEAR)

    def _write(self, text: str) -> None:
        self._terminal.write(text)
        self._terminal.flush()


def line(done: int, total: int, elapsed_s: float) -> str:
    """As in `[######------------------]  25 %  250/1000  41.7/s  0:00:18 left`."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    if not total:
        return f"{done}  {rate:.1f}/s"
    done = min(done, total)
    filled = WIDTH * done // total
    bar = "#" * filled + "-" * (WIDTH - filled)
    left = _clock((total - done) / rate) if rate else "?"
    return f"[{bar}] {100 * done // total:3d} %  {done}/{total}  {rate:.1f}/s  {left} left"


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
