"""Totals of the cameras in an archive, counted by the same function as in the daemon."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import groupby, islice, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Final

from edge_daemon.history.aggregate import AggregateState, aggregate
from edge_daemon.history.periods import Period
from edge_daemon.history.privacy import add_shown
from edge_daemon.history.report import STEP_MINUTES, HistoryReport, Step
from edge_daemon.history.store import HOUR, MINUTE, QUARTER, HistoryStore
from edge_daemon.history.totals import Totals
from edge_daemon.report.archive import EventArchive, Run, RunEvent

BATCH: Final = 20_000  # events that are counted at once
MINUTES: Final = 50_000  # the most that wait to be written, about 30 MB
ROWS: Final = 5_000  # periods that are requested at once,
MOST_AT_ONCE: Final = timedelta(days=60)  # of at most this many days


@dataclass(frozen=True, slots=True)
class CameraTotals:
    """One camera's totals, and the local days from its first event to its last."""

    name: str
    report: HistoryReport
    first: datetime
    last: datetime

    def periods(self, step: Step) -> Iterator[Period]:
        """Yield the periods of the days on which something was recorded."""
        at = self.first.replace(hour=0, minute=0, second=0, microsecond=0)
        span = timedelta(days=max(1, ROWS * STEP_MINUTES[step] // STEP_MINUTES["day"]))
        while at <= self.last:
            following = (at + min(span, MOST_AT_ONCE)).replace(hour=0, minute=0, fold=0)
            found = self.report.periods(at, following, step)
            for _, day in groupby(found, key=lambda period: period.start.date()):
                periods = list(day)
                if any(period.recorded_ms or period.faces for period in periods):
                    yield from periods
            at = following

    def total(self) -> Period:
        """Return the totals of all days together."""
        total = Period(start=self.first, end=self.last)
        for number, day in enumerate(self.periods("day")):
            add_shown(total, day, is_continued=number > 0)
        return total


def count(
    archive: EventArchive,
    *,
    folder: Path,
    zone: tzinfo,
    by_minute: bool = False,
    least_faces: int = 0,
) -> list[CameraTotals]:
    """Count all events into databases in `folder`; return the cameras by name.

    Minutes are only counted with `by_minute`. Periods with fewer than `least_faces` are hidden.
    """
    sizes = (MINUTE, QUARTER, HOUR) if by_minute else (QUARTER, HOUR)
    runs = archive.runs()
    names = camera_names(runs)
    stores: dict[str, HistoryStore] = {}
    for name, minutes in _counted(archive.events(), names):
        if name not in stores:
            stores[name] = HistoryStore(folder / f"{len(stores)}.history")
        stores[name].add_minutes(minutes, sizes)
    spans: dict[str, list[Run]] = defaultdict(list)
    for each in runs:
        spans[names[each.camera, each.run]].append(each)
    return [
        CameraTotals(
            name,
            HistoryReport(stores[name], zone=zone, least_faces=least_faces),
            _local(min(run.first for run in spans[name]), zone),
            _local(max(run.last for run in spans[name]), zone),
        )
        for name in sorted(stores)
    ]


def _counted(
    events: Iterator[RunEvent], names: dict[tuple[str, str], str]
) -> Iterator[tuple[str, dict[int, Totals]]]:
    """Yield names of cameras with totals to add to them; a camera may come several times."""
    last, newest, state = ("", ""), "", AggregateState()
    name, waiting = "", dict[int, Totals]()
    while batch := list(islice(events, BATCH)):
        for key, some in groupby(batch, key=attrgetter("camera", "run")):
            if waiting and (names[key] != name or len(waiting) > MINUTES):
                yield name, waiting
                waiting = {}
            name = names[key]
            if key != last:
                last, newest, state = key, "", AggregateState()
            once = list(_once(some, newest))
            newest = once[-1].id if once else newest
            minutes, state = aggregate((event.as_dict() for event in once), state)
            for number, minute in minutes.items():
                if number in waiting:
                    waiting[number].add(minute)
                else:
                    waiting[number] = minute
    if waiting:
        yield name, waiting


def camera_names(runs: Sequence[Run]) -> dict[tuple[str, str], str]:
    """Return a name for each camera and run.

    Cameras of several devices may have the same name. They are distinguished by topic or folder if
    their runs overlap in time. Without an overlap it is one camera whose log was moved.
    """
    sources: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for run in runs:
        first, last = sources[run.camera].get(run.source, (run.first, run.last))
        sources[run.camera][run.source] = min(first, run.first), max(last, run.last)
    shared = {camera for camera, spans in sources.items() if _overlap(list(spans.values()))}
    return {
        (camera, run.run): f"{camera} ({run.source})" if camera in shared else camera
        for run in runs
        for camera in (run.camera,)
    }


def _overlap(spans: list[tuple[str, str]]) -> bool:
    spans.sort()
    return any(following[0] < span[1] for span, following in pairwise(spans))


def _once(events: Iterable[RunEvent], newest: str) -> Iterator[RunEvent]:
    """Yield the events without repeated ones; an event without an id has its time as id."""
    for event in events:
        if event.id != newest or event.id == event.time:
            yield event
        newest = event.id


def _local(time: str, zone: tzinfo) -> datetime:
    return datetime.fromisoformat(time).astimezone(zone)
