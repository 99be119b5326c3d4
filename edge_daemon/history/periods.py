"""A period of time with its totals."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class Period:
    """The totals from `start` to before `end`, in milliseconds; for a weekday, of all such days.

    `is_hidden` is true if there were faces, but too few to be shown.
    """

    start: datetime
    end: datetime
    weekday: str = ""
    recorded_ms: int = 0
    face_ms: int = 0
    carried: int = 0
    arrivals: int = 0
    departures: int = 0
    stay_ms: int = 0
    longest_ms: int = 0
    expressions: dict[str, int] = field(default_factory=dict)
    is_hidden: bool = False

    @property
    def faces(self) -> int:
        """How many faces were there; also one that only a clock set back has brought here."""
        return max(self.carried + self.arrivals, 1 if self.face_ms else 0)

    def add(self, other: Period) -> None:
        """Add the totals of another period."""
        self.recorded_ms += other.recorded_ms
        self.face_ms += other.face_ms
        self.carried += other.carried
        self.arrivals += other.arrivals
        self.departures += other.departures
        self.stay_ms += other.stay_ms
        self.longest_ms = max(self.longest_ms, other.longest_ms)
        self.add_expressions(other.expressions)

    def add_expressions(self, sums: dict[str, int]) -> None:
        """Add the milliseconds of each label."""
        if not self.expressions:
            self.expressions = sums.copy()
            return
        for label, ms in sums.items():
            self.expressions[label] = self.expressions.get(label, 0) + ms

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
