"""Answers questions about periods: totals by minute, hour, day or weekday in local time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, Literal

from edge_daemon.events.log_reader import Entry
from edge_daemon.history.aggregate import aggregate, until
from edge_daemon.history.periods import Period
from edge_daemon.history.privacy import add_shown, hide_few, hide_parts
from edge_daemon.history.store import HOUR, MINUTE, QUARTER, HistorySnapshot, HistoryStore
from edge_daemon.history.totals import Totals

Step = Literal["minute", "quarter", "hour", "day", "weekday"]

STEP_MINUTES: Final[dict[Step, int]] = {
    "minute": 1, "quarter": 15, "hour": 60, "day": 1440, "weekday": 1440,
}  # fmt: skip
WHOLES: Final[dict[Step, Step]] = {"minute": "quarter", "quarter": "hour", "hour": "day"}
CLOCK_STEPS: Final = frozenset(("minute", "quarter", "hour"))  # of a fixed length
MAX_ROWS: Final = 10_000
WEEKDAYS: Final = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip
_Key = tuple[int, int]  # of a period: see _key


class PeriodError(ValueError):
    """The period cannot be answered; the message says why."""


class HistoryReport:
    """Reads `store` in the time zone `zone`; periods with fewer than `least_faces` are hidden.

    While the daemon runs, `newer` returns the events after the one with an id, or None if it does
    not know all of them. These events and the time since the last one are counted, too.
    """

    def __init__(
        self,
        store: HistoryStore,
        *,
        zone: tzinfo,
        least_faces: int = 0,
        newer: Callable[[str], Sequence[Entry] | None] = lambda position: None,
    ) -> None:
        self._store, self.zone = store, zone
        self._least_faces, self._newer = least_faces, newer

    def periods(self, start: datetime, end: datetime, step: Step) -> list[Period]:
        """Return all periods of `step`, from the one with `start` to before `end`.

        Raises PeriodError for more than MAX_ROWS, and sqlite3.Error.
        """
        if end <= start:
            raise PeriodError("the end is not after the start")
        if (end - start) / timedelta(minutes=STEP_MINUTES[step]) > MAX_ROWS:
            raise PeriodError(f"these are more than {MAX_ROWS:,} rows; ask for a shorter time")
        with self._store.snapshot() as snapshot:
            reading = _Reading(snapshot, self.zone, self._least_faces, self._not_stored(snapshot))
            if step == "weekday":
                return _by_weekday(reading.shown(start, end, "day"))
            return reading.shown(start, end, step)

    def _not_stored(self, snapshot: HistorySnapshot) -> dict[int, Totals]:
        """Return the minutes of the newest events, and of the time after them until now."""
        entries = self._newer(snapshot.position)
        if entries is None:
            return {}
        minutes, state = aggregate((entry.event for entry in entries), snapshot.state())
        now_ms = round(datetime.now(UTC).timestamp() * 1000)
        for number, minute in until(state, now_ms).items():
            minutes.setdefault(number, Totals()).add(minute)
        return minutes


class _Reading:
    """Finds periods in `snapshot`, to which the minutes `newest` are added."""

    def __init__(
        self,
        snapshot: HistorySnapshot,
        zone: tzinfo,
        least_faces: int,
        newest: dict[int, Totals],
    ) -> None:
        self._snapshot, self._zone = snapshot, zone
        self._least_faces, self._newest = least_faces, newest

    def shown(self, start: datetime, end: datetime, step: Step) -> list[Period]:
        """Return the periods; hides those with few faces, and those that would reveal others."""
        if not self._least_faces:
            return self._found(start, end, step)
        if step == "day":
            days = self._found(start, end, step)
            hide_few(days, self._least_faces)
            return days
        wholes = self.shown(start, end, WHOLES[step])
        periods = self._found(wholes[0].start, wholes[-1].end, step)
        ends = [_minutes(period.end) for period in periods]
        first = 0
        for whole in wholes:
            last = bisect_right(ends, _minutes(whole.end))
            hide_parts(whole, periods[first:last], self._least_faces)
            first = last
        return [each for each in periods if each.start < end and start < each.end]

    def _found(self, start: datetime, end: datetime, step: Step) -> list[Period]:
        minutes = _minutes(start), -(-round(end.timestamp()) // 60)
        periods = self._by_clock(*minutes, step) if step in CLOCK_STEPS else self._by_day(*minutes)
        for number, minute in self._newest.items():
            if period := periods.get(_key(number, step, self._zone)):
                period.add(minute, is_continued=number > _minutes(period.start))
        return list(periods.values())

    def _by_clock(self, start: int, end: int, step: Step) -> dict[_Key, Period]:
        """Return the periods of a fixed length; a change of the clock may cut one short."""
        length, periods = STEP_MINUTES[step], dict[_Key, Period]()
        start -= (start + _offset(start, self._zone)) % length
        for first, last, offset in _segments(start, end, self._zone):
            local = timezone(timedelta(minutes=offset))
            numbers = range((first + offset) // length, -(-(last + offset) // length) + 1)
            edges = [datetime.fromtimestamp((n * length - offset) * 60, local) for n in numbers]
            edges[0] = max(edges[0], datetime.fromtimestamp(first * 60, local))
            if last < end:
                edges[-1] = min(edges[-1], datetime.fromtimestamp(last * 60, local))
            labels, rows = self._rows(first, _minutes(edges[-1]), offset, length)
            sums = {row[0]: row for row in rows}
            for number, begin, following in zip(numbers, edges, edges[1:], strict=False):
                row = sums.get(number)
                periods[number, offset] = (
                    _period(begin, following, labels, row)
                    if row
                    else Period(start=begin, end=following)
                )
        return periods

    def _by_day(self, start: int, end: int) -> dict[_Key, Period]:
        """Return the days; they have 23 or 25 hours when the clock is changed."""
        at, periods = datetime.fromtimestamp(start * 60, self._zone), dict[_Key, Period]()
        at = at.replace(hour=0, minute=0, fold=0)
        first = _minutes(at)
        while _minutes(at) < end:
            following = (at + timedelta(days=1)).replace(fold=0)
            periods[_key(_minutes(at), "day", self._zone)] = Period(start=at, end=following)
            at = following
        for begin, last, offset in _segments(first, _minutes(at), self._zone):
            labels, rows = self._rows(begin, last, offset, STEP_MINUTES["day"])
            for row in rows:
                periods[row[0], 0].add(_period(at, at, labels, row))
        return periods

    def _rows(
        self, start: int, end: int, offset: int, length: int
    ) -> tuple[list[str], list[tuple[int, ...]]]:
        """Return the sums of `HistorySnapshot.totals`, added from the largest rows possible."""
        size = _largest_size(start, end, offset, length)
        return self._snapshot.totals(size, start, end, offset=offset, step=length)


def _period(start: datetime, end: datetime, labels: list[str], row: tuple[int, ...]) -> Period:
    """Return a period with a row of `HistorySnapshot.totals`."""
    _, recorded_ms, face_ms, carried, arrivals, departures, stay_ms, longest_ms, *sums = row
    expressions = {label: ms for label, ms in zip(labels, sums, strict=True) if ms}
    counted = recorded_ms, face_ms, carried, arrivals, departures, stay_ms, longest_ms
    return Period(*counted, expressions, start=start, end=end)


def _by_weekday(days: list[Period]) -> list[Period]:
    """Add up the days of each weekday."""
    found: dict[int, Period] = {}
    for day in days:
        number = day.start.weekday()
        total = found.setdefault(
            number, Period(start=day.start, end=day.end, weekday=WEEKDAYS[number])
        )
        total.end = day.end
        add_shown(total, day)
    return [found[number] for number in sorted(found)]


def _segments(start: int, end: int, zone: tzinfo) -> Iterator[tuple[int, int, int]]:
    """Yield the stretches of minutes in which local time has one offset, with the offset."""
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
    """Return a key that differs for all periods: the number in local time, and the hours' offset.

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
