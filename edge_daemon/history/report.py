"""Answers questions about periods: totals by minute, hour, day or weekday in local time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Literal

from edge_daemon.history.aggregate import Minute, until
from edge_daemon.history.store import HOUR, MINUTE, QUARTER, HistoryStore

Step = Literal["minute", "hour", "day", "weekday"]

STEP_MINUTES: Final[dict[Step, int]] = {"minute": 1, "hour": 60, "day": 1440, "weekday": 1440}
MAX_ROWS: Final = 10_000
WEEKDAYS: Final = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip


class PeriodError(ValueError):
    """The period cannot be answered; the message says why."""


@dataclass(slots=True)
class Period:
    """The totals from `start` to before `end`, in milliseconds; for a weekday, of all such days.

    `is_hidden` if there were faces, but fewer than `least_faces`.
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
        """How many faces were there."""
        return self.carried + self.arrivals

    def as_dict(self) -> dict[str, Any]:
        """The totals as values for JSON, in seconds."""
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
            "mean_stay_s": round(self.stay_ms / self.departures / 1000, 3)
            if self.departures
            else None,
            "longest_stay_s": self.longest_ms / 1000 if self.departures else None,
            "expressions": {label: ms / 1000 for label, ms in sorted(self.expressions.items())},
        }
        return values | (dict.fromkeys(details) if self.is_hidden else details)


class HistoryReport:
    """Reads `store` in the time zone `zone`; periods with fewer than `least_faces` are hidden.

    While the daemon runs, `is_live`: the time since the last event counts too.
    """

    def __init__(
        self, store: HistoryStore, *, zone: tzinfo, least_faces: int = 0, is_live: bool = False
    ) -> None:
        self._store, self.zone = store, zone
        self._least_faces, self._is_live = least_faces, is_live

    def periods(self, start: datetime, end: datetime, step: Step) -> list[Period]:
        """The periods of `step` from the one with `start` to before `end`, with all in between.

        Raises PeriodError for more than MAX_ROWS, and sqlite3.Error.
        """
        if end <= start:
            raise PeriodError("the end is not after the start")
        if (end - start) / timedelta(minutes=STEP_MINUTES[step]) > MAX_ROWS:
            raise PeriodError(f"these are more than {MAX_ROWS:,} rows; ask for a shorter time")
        periods = {_key(at, step, self.zone): each for at, each in self._empty(start, end, step)}
        self._fill(periods, step)
        found = list(periods.values())
        if step == "weekday":
            found = _by_weekday(found)
        for period in found:
            period.is_hidden = 0 < period.faces < self._least_faces
        return found

    def _empty(self, start: datetime, end: datetime, step: Step) -> Iterator[tuple[int, Period]]:
        """The periods without totals, with the minutes at which they start."""
        at = _begin(start.astimezone(self.zone), step)
        while at < end:
            following = _next(at, step)
            yield _minutes(at), Period(at, following)
            at = following

    def _fill(self, periods: dict[tuple[int, int], Period], step: Step) -> None:
        length = STEP_MINUTES[step]
        found = list(periods.values())
        first, last = _minutes(found[0].start), _minutes(found[-1].end)
        for start, end, offset in _segments(first, last, self.zone):
            size = MINUTE if step == "minute" else _largest_size(start, end, offset)
            key_offset = offset if step in ("minute", "hour") else 0
            for row in self._store.totals(size, start, end, offset=offset, step=length):
                period = periods.get((row[0], key_offset))
                if period is None:
                    continue
                period.recorded_ms += row[1]
                period.face_ms += row[2]
                period.carried += row[3]
                period.arrivals += row[4]
                period.departures += row[5]
                period.stay_ms += row[6]
                period.longest_ms = max(period.longest_ms, row[7])
            sums = self._store.expressions(size, start, end, offset=offset, step=length)
            for number, label, ms in sums:
                if period := periods.get((number, key_offset)):
                    period.expressions[label] = period.expressions.get(label, 0) + ms
        if self._is_live:
            self._add_time_since_last_event(periods, step)

    def _add_time_since_last_event(
        self, periods: dict[tuple[int, int], Period], step: Step
    ) -> None:
        now_ms = round(datetime.now(UTC).timestamp() * 1000)
        for number, minute in until(self._store.state(), now_ms).items():
            if period := periods.get(_key(number, step, self.zone)):
                _add(period, minute, is_first=_minutes(period.start) == number)


def _add(period: Period, minute: Minute, *, is_first: bool) -> None:
    period.recorded_ms += minute.recorded_ms
    period.face_ms += minute.face_ms
    period.carried += minute.carried if is_first else 0
    for label, ms in minute.expressions.items():
        period.expressions[label] = period.expressions.get(label, 0) + ms


def _by_weekday(days: list[Period]) -> list[Period]:
    found: dict[int, Period] = {}
    for day in days:
        number = day.start.weekday()
        total = found.setdefault(number, Period(day.start, day.end, WEEKDAYS[number]))
        total.end = day.end
        total.recorded_ms += day.recorded_ms
        total.face_ms += day.face_ms
        total.carried += day.carried
        total.arrivals += day.arrivals
        total.departures += day.departures
        total.stay_ms += day.stay_ms
        total.longest_ms = max(total.longest_ms, day.longest_ms)
        for label, ms in day.expressions.items():
            total.expressions[label] = total.expressions.get(label, 0) + ms
    return [found[number] for number in sorted(found)]


def _begin(local: datetime, step: Step) -> datetime:
    """The beginning of the period of `step` in which a local time lies."""
    if step == "minute":
        return local.replace(second=0, microsecond=0)
    if step == "hour":
        return local.replace(minute=0, second=0, microsecond=0)
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _next(start: datetime, step: Step) -> datetime:
    """The beginning of the next period; days have 23 or 25 hours when clocks are changed."""
    if step in ("minute", "hour"):
        following = start.astimezone(UTC) + timedelta(minutes=STEP_MINUTES[step])
        return following.astimezone(start.tzinfo)
    return (start + timedelta(days=1)).replace(fold=0)


def _segments(start: int, end: int, zone: tzinfo) -> Iterator[tuple[int, int, int]]:
    """The stretches of minutes in which local time has one offset from UTC, with the offset."""
    while start < end:
        offset, stop = _offset(start, zone), start
        while stop < end and _offset(stop, zone) == offset:
            stop += 1440
        if stop >= end and _offset(end - 1, zone) == offset:
            stop = end
        else:  # the clock is changed in the last day: by whole quarters of an hour
            stop = min(stop, end)
            while _offset(stop - 1, zone) != offset:
                stop -= 1
        yield start, stop, offset
        start = stop


def _largest_size(start: int, end: int, offset: int) -> int:
    """Return the size of the largest rows that begin where the hours of a stretch do."""
    return HOUR if not any(each % HOUR for each in (start, end, offset)) else QUARTER


def _key(minutes: int, step: Step, zone: tzinfo) -> tuple[int, int]:
    """A key that is different for every period: its number in local time, and the offset of hours.

    An hour comes twice when clocks are set back; the offset distinguishes the two.
    """
    offset = _offset(minutes, zone)
    number = (minutes + offset) // STEP_MINUTES[step]
    return number, offset if step in ("minute", "hour") else 0


def _offset(minutes: int, zone: tzinfo) -> int:
    local = datetime.fromtimestamp(minutes * 60, zone)
    offset = local.utcoffset() or timedelta()
    return int(offset.total_seconds() // 60)


def _minutes(at: datetime) -> int:
    return int(at.timestamp() // 60)
