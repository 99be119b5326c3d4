"""Checks whether the pipeline works as well with a new model as with the one before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from edge_daemon.core.types import Progress

SLOWER: Final = 3.0  # a search that takes this many times as long, and more than SLACK_S, is unwell
SLACK_S: Final = 0.05

Health = Literal["well", "unwell", "idle"]


class PipelineHealth:
    """Compares the pipeline's progress with its progress when this object was made."""

    def __init__(self, progress: Callable[[], Progress]) -> None:
        self._progress = progress
        self._last = progress()
        self._limit_s = max(SLOWER * self._last.search_s, SLACK_S)

    def check(self) -> Health:
        """Return the health since the last check.

        The pipeline is "unwell" if it makes no progress or takes far longer to search a frame. It
        is "idle" while it gets no frames, because a lost camera says nothing about the model.
        """
        last, self._last = self._last, self._progress()
        if self._last.turns == last.turns or self._last.search_s > self._limit_s:
            return "unwell"
        return "well" if self._last.frames > last.frames else "idle"
