"""The pipeline's progress in, whether it does as well as it did out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from edge_daemon.core.types import Progress

SLOWER: Final = 3.0  # times as long for a look as before, and more than SLACK_S, is not well
SLACK_S: Final = 0.05

Health = Literal["well", "unwell", "idle"]


class Vitals:
    """Compares the pipeline with how it was when this was made."""

    def __init__(self, progress: Callable[[], Progress]) -> None:
        self._progress = progress
        self._last = progress()
        self._limit_s = max(SLOWER * self._last.search_s, SLACK_S)

    def look(self) -> Health:
        """How it has been since the last look.

        It is "unwell" if it stands still or takes far longer to search a frame, and "idle" while
        it has no frame to search: a lost camera is no ailment, and proves nothing.
        """
        last, self._last = self._last, self._progress()
        if self._last.turns == last.turns or self._last.search_s > self._limit_s:
            return "unwell"
        return "well" if self._last.frames > last.frames else "idle"
