"""Totals of the events in some time, and how they are added up."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Totals:
    """What was counted in some time: a minute, an hour, all Mondays.

    `recorded_ms` is how long the camera delivered, without pauses. `face_ms` is the time of all
    faces together, `expressions` the time of each label. `carried` counts the faces that were
    there when the time began, `arrivals` those that came in it. `departures`, `stay_ms` and
    `longest_ms` are of the stays that ended in it.
    """

    recorded_ms: int = 0
    face_ms: int = 0
    carried: int = 0
    arrivals: int = 0
    departures: int = 0
    stay_ms: int = 0
    longest_ms: int = 0
    expressions: dict[str, int] = field(default_factory=dict)

    @property
    def faces(self) -> int:
        """How many faces were there; also one that only a clock set back has brought here."""
        return max(self.carried + self.arrivals, 1 if self.face_ms else 0)

    def add(self, other: Totals, *, is_continued: bool = False) -> None:
        """Add the totals of another time.

        With `is_continued` it follows on time that is in these totals, so that the faces that were
        there when it began have been counted.
        """
        self.recorded_ms += other.recorded_ms
        self.face_ms += other.face_ms
        self.carried += 0 if is_continued else other.carried
        self.arrivals += other.arrivals
        self.departures += other.departures
        self.stay_ms += other.stay_ms
        self.longest_ms = max(self.longest_ms, other.longest_ms)
        for label, ms in other.expressions.items():
            self.expressions[label] = self.expressions.get(label, 0) + ms
