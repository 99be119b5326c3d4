"""The pipeline's progress in, whether it does as well as it did out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge_daemon.pipeline import Progress

SLOWER: Final = 3.0  # times as long for a frame as before, and more than SLACK_S, is not well
SLACK_S: Final = 0.05


class Vitals:
    """Compares the pipeline with how it was when this was made; a lost camera is no ailment."""

    def __init__(self, progress: Callable[[], Progress]) -> None:
        self._progress = progress
        self._before_s, self._turns = progress().latency_s, progress().turns

    def well(self) -> bool:
        """Whether it has turned since the last look, and takes not much longer for a frame."""
        now = self._progress()
        turned, self._turns = now.turns != self._turns, now.turns
        return turned and now.latency_s <= max(SLOWER * self._before_s, SLACK_S)
