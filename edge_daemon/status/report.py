"""The answers of `/state` and `/healthz`, combined from the parts' reports."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edge_daemon import __version__
from edge_daemon.core.parts import Part
from edge_daemon.core.types import View, rfc3339

MEMORY: Final = Path("/proc/self/statm")  # in pages; the second number is the resident memory
OPTIONAL_PARTS: Final = ("mqtt", "update")  # null in /state where they are not configured


class DaemonReport:
    """Combines the reports of the running parts; `parts` may be filled after this is built."""

    def __init__(
        self, parts: Sequence[Part[Any]], *, stage_means_ms: Callable[[], dict[str, float]]
    ) -> None:
        self._parts = parts
        self._stage_means_ms = stage_means_ms
        self._started_s = time.monotonic()

    def state(self) -> dict[str, Any]:
        """Return the answer of `/state`, as values for JSON."""
        state: dict[str, Any] = {
            "version": __version__,
            "time": rfc3339(datetime.now(UTC)),
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "memory_mb": _memory_mb(),
            "stages_ms": self._stage_means_ms(),
            **dict.fromkeys(OPTIONAL_PARTS),
        }
        for part in self._parts:
            for key, value in part.report().items():
                before = state.get(key)
                merge = isinstance(before, Mapping) and isinstance(value, Mapping)
                state[key] = {**before, **value} if merge else value  # type: ignore[dict-item]
        return state

    def faces(self, view: View) -> dict[str, Any]:
        """Return the faces of `view`, as values for JSON."""
        return view.as_dict()

    def healthy(self) -> tuple[bool, str]:
        """Return whether every part works, and the reasons if one does not."""
        troubles = [trouble for part in self._parts if (trouble := part.trouble())]
        return not troubles, "; ".join(troubles)


def _memory_mb() -> float:
    """Return the resident memory of the process, shared libraries included."""
    pages = int(MEMORY.read_text().split()[1])
    return round(pages * resource.getpagesize() / 1e6, 1)
