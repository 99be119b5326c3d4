"""Answers questions about periods: totals by minute, hour, day or weekday in local time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final, Literal

from edge_daemon.history.aggregate import Minute, until
from edge_daemon.history.store import HOUR, MINUTE, QUARTER, HistoryStore

Step = Literal["minute", "quarter", "hour", "day", "weekday"]

STEP_MINUTES: Final[dict[Step, int]] = {
    "minute": 1, "quarter": 15, "hour": 60, "day": 1440, "weekday": 1440,
}  # fmt: skip
CLOCK_STEPS: Final = frozenset(("minute", "quarter", "hour"))  # of a fixed length
MAX_ROWS: Final = 10_000
WEEKDAYS: Final = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip
_Key = tuple[int, int]  # of a period: see _key


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
            "departures": self.departures,
            "stay_s": self.stay_ms / 1000,
            "mean_stay_s": self.stay_ms // self.departures / 1000 if self.departures else None,
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
        minutes = _minutes(start), -(-round(end.timestamp()) // 60)
        periods = self._by_clock(*minutes, step) if step in CLOCK_STEPS else self._by_day(*minutes)
        self._fill(periods, step)
        found = list(periods.values())
        if step == "weekday":
            found = _by_weekday(found)
        for period in found:
            period.is_hidden = 0 < period.faces < self._least_faces
        return found

    def _by_clock(self, start: int, end: int, step: Step) -> dict[_Key, Period]:
        """Return the empty periods of a fixed length; a change of the clock may cut one short."""
        length, periods = STEP_MINUTES[step], dict[_Key, Period]()
        start -= (start + _offset(start, self.zone)) % length
        for first, last, offset in _segments(start, end, self.zone):
            local = timezone(timedelta(minutes=offset))
            numbers = range((first + offset) // length, -(-(last + offset) // length) + 1)
            edges = [datetime.fromtimestamp((n * length - offset) * 60, local) for n in numbers]
            edges[0] = max(edges[0], datetime.fromtimestamp(first * 60, local))
            if last < end:
                edges[-1] = min(edges[-1], datetime.fromtimestamp(last * 60, local))
            for number, begin, following in zip(numbers, edges, edges[1:], strict=False):
                periods[number, offset] = Period(begin, following)
        return periods

    def _by_day(self, start: int, end: int) -> dict[_Key, Period]:
        """Return empty days; they have 23 or 25 hours when the clock is changed."""
        at, periods = datetime.fromtimestamp(start * 60, self.zone), dict[_Key, Period]()
        at = at.replace(hour=0, minute=0, fold=0)
        while _minutes(at) < end:
            following = (at + timedelta(days=1)).replace(fold=0)
            periods[_key(_minutes(at), "day", self.zone)] = Period(at, following)
            at = following
        return periods

    def _fill(self, periods: dict[_Key, Period], step: Step) -> None:
        length = STEP_MINUTES[step]
        found = list(periods.values())
        first, last = _minutes(found[0].start), _minutes(found[-1].end)
        for start, end, offset in _segments(first, last, self.zone):
            size = _largest_size(start, end, offset, length)
            key_offset = offset if step in CLOCK_STEPS else 0
            labels, rows = self._store.totals(size, start, end, offset=offset, step=length)
            for row in rows:
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
                sums = {label: ms for label, ms in zip(labels, row[8:], strict=True) if ms}
                period.add_expressions(sums)
        if self._is_live:
            self._add_time_since_last_event(periods, step)

    def _add_time_since_last_event(self, periods: dict[_Key, Period], step: Step) -> None:
        now_ms = round(datetime.now(UTC).timestamp() * 1000)
        for number, minute in until(self._store.state(), now_ms).items():
            if period := periods.get(_key(number, step, self.zone)):
                _add(period, minute, is_first=_minutes(period.start) == number)


def _add(period: Period, minute: Minute, *, is_first: bool) -> None:
    period.recorded_ms += minute.recorded_ms
    period.face_ms += minute.face_ms
    period.carried += minute.carried if is_first else 0
    period.add_expressions(minute.expressions)


def _by_weekday(days: list[Period]) -> list[Period]:
    found: dict[int, Period] = {}
    for day in days:
        number = day.start.weekday()
        total = found.setdefault(number, Period(day.start, day.end, WEEKDAYS[number]))
        total.end = day.end
        total.add(day)
    return [found[number] for number in sorted(found)]


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


def _largest_size(start: int, end: int, offset: int, length: int) -> int:
    """Return the size of the largest rows that periods of `length` minutes consist of."""
    for size in (HOUR, QUARTER):
        if not any(each % size for each in (start, end, offset, length)):
            return size
    return MINUTE


def _key(minutes: int, step: Step, zone: tzinfo) -> _Key:
    """A key that is different for every period: its number in local time, and the offset of hours.

    An hour comes twice when clocks are set back; the offset distinguishes the two.
    """
    offset = _offset(minutes, zone)
    number = (minutes + offset) // STEP_MINUTES[step]
    return number, offset if step in CLOCK_STEPS else 0


def _offset(minutes: int, zone: tzinfo) -> int:
    local = datetime.fromtimestamp(minutes * 60, zone)
    offset = local.utcoffset() or timedelta()
    return int(offset.total_seconds() // 60)


def _minutes(at: datetime) -> int:
    return int(at.timestamp() // 60)
