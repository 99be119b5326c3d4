"""A period of time with its totals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_daemon.history.totals import Totals


@dataclass(slots=True, kw_only=True)
class Period(Totals):
    """The totals from `start` to before `end`; for a weekday, of all such days.

    `is_hidden` is true if there were faces, but too few to be shown.
    """

    start: datetime
    end: datetime
    weekday: str = ""
    is_hidden: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the totals as values for JSON, in seconds."""
        values: dict[str, Any] = {
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            **({"weekday": self.weekday} if self.weekday else {}),
            "recorded_s": self.recorded_ms / 1000,
            "hidden": self.is_hidden,
        }
        details = {
            "faces": self.faces,
            "arrivals": self.arrivals,
            "face_s": self.face_ms / 1000,
            "departures": self.departures,
            "stay_s": self.stay_ms / 1000,
            "mean_stay_s": self.stay_ms // self.departures / 1000 if self.departures else None,
            "longest_stay_s": self.longest_ms / 1000 if self.departures else None,
            "expressions": {label: ms / 1000 for label, ms in sorted(self.expressions.items())},
        }
        return values | (dict.fromkeys(details) if self.is_hidden else details)
