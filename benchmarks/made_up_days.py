"""Made-up days of a camera: events, and the totals that they must give."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edge_daemon.core.types import rfc3339
from edge_daemon.events.log_reader import Entry, EventIds
from edge_daemon.history.store import HistoryStore

LABELS = {
    "neutral": 40, "happy": 30, "sad": 10, "surprise": 8, "angry": 6, "fear": 3, "disgust": 3,
}  # fmt: skip
BUSY = (1, 1, 1, 1, 1, 2, 5, 12, 20, 24, 28, 34, 40, 32, 24, 22, 26, 36, 44, 30, 16, 8, 4, 2)
FACE, RECORDING = "face", "recording"  # names of spans, besides labels
MODEL = {"name": "made up", "sha256": "0" * 64}


@dataclass
class KnownTotals:
    """What is known of the days, in milliseconds."""

    recorded_ms: int = 0
    face_ms: int = 0
    faces: int = 0
    arrivals: int = 0
    stays_ms: list[int] = field(default_factory=list)
    expressions: Counter[str] = field(default_factory=Counter)


class MadeUpDays:
    """Events from `start` on, with faces that come, change their expression and leave."""

    def __init__(self, start: datetime, *, seed: int = 1) -> None:
        self.events: list[dict[str, Any]] = []
        self.totals = KnownTotals()
        self.at = start
        self._spans: list[tuple[str, datetime, datetime]] = []  # what lasted from when to when
        self._random = random.Random(seed)  # noqa: S311
        self._face, self._run = 0, 0

    def run(self, faces: int, *, gap_s: float = 120.0, is_killed: bool = False) -> None:
        """One run of the daemon: `faces` visitors one after another, then a stop or a kill."""
        self._run += 1
        begun = self.at
        self._happens("daemon_start", version="0")
        for _ in range(faces):
            self._pass(self._random.uniform(0.001, 2 * gap_s))
            self._visit()
        if not is_killed:
            self._pass(self._random.uniform(0.001, gap_s))
            self._happens("daemon_stop", duration_s=0.0)
        self._lasted(RECORDING, begun)
        self.totals.recorded_ms += _ms(self.at - begun)
        self._pass(3600.0)

    def run_shop(self, hours: float) -> None:
        """One run of the daemon in a shop, whose visitors come by the hour and the weekday.

        The last hour is a camera's that is lost.
        """
        self._run += 1
        begun, end = self.at, self.at + timedelta(hours=hours)
        self._happens("daemon_start", version="0")
        while self.at < end:
            share = 0.3 if self.at.weekday() == 6 else 1.4 if self.at.weekday() == 5 else 1.0
            self._pass(self._random.expovariate(BUSY[self.at.hour] * share / 3600) + 0.001)
            if self.at < end:
                self._visit()
        self._happens("camera_lost", cause="gone", reason="unplugged")
        self._lasted(RECORDING, begun)
        self.totals.recorded_ms += _ms(self.at - begun)
        self._pass(3600.0)
        self._happens("daemon_stop", duration_s=0.0)

    def rest(self, *, hours: float) -> None:
        """Let time pass without a daemon."""
        self._pass(hours * 3600)

    def between(self, start: datetime, end: datetime) -> KnownTotals:
        """Return what is known of the time from `start` to before `end`; stays that ended in it."""
        found = KnownTotals()
        for name, begun, ended in self._spans:
            took_ms = _ms(min(ended, end) - max(begun, start))
            if name == FACE and start <= ended < end:
                found.stays_ms.append(_ms(ended - begun))
            if name == FACE and start <= begun < end:
                found.arrivals += 1
            if took_ms <= 0:
                continue
            if name == RECORDING:
                found.recorded_ms += took_ms
            elif name == FACE:
                found.face_ms += took_ms
                found.faces += 1
            else:
                found.expressions[name] += took_ms
        return found

    def _visit(self) -> None:
        self._face += 1
        face, begun = self._face, self.at
        self._happens("face_start", face=face)
        self.totals.arrivals += 1
        label = ""
        for _ in range(self._random.randrange(4)):
            self._wait(label)
            others = {each: weight for each, weight in LABELS.items() if each != label}
            (following,) = self._random.choices(list(others), list(others.values()))
            kind = "expression_change" if label else "expression_start"
            self._happens(kind, face=face, label=following)
            label = following
        self._wait(label)
        if label:
            self._happens("expression_end", face=face, label=label)
        stay_ms = _ms(self.at - begun)
        self._happens("face_end", face=face, duration_s=stay_ms / 1000)
        self._lasted(FACE, begun)
        self.totals.stays_ms.append(stay_ms)

    def _wait(self, label: str) -> None:
        before = self.at
        self._pass(self._random.uniform(0.001, 90.0))
        took_ms = _ms(self.at - before)
        self.totals.face_ms += took_ms
        if label:
            self._lasted(label, before)
            self.totals.expressions[label] += took_ms

    def _lasted(self, name: str, begun: datetime) -> None:
        self._spans.append((name, begun, self.at))

    def _pass(self, seconds: float) -> None:
        self.at += timedelta(milliseconds=round(seconds * 1000))

    def _happens(self, kind: str, **fields: Any) -> None:
        common = {"camera": "made up", "run": f"{self._run:08x}", "model": MODEL}
        self.events.append(
            {"schema": 1, "time": rfc3339(self.at), "type": kind, **common, **fields}
        )


def week(seed: int = 1) -> MadeUpDays:
    """Some days with stops and kills in between."""
    days = MadeUpDays(datetime(2026, 3, 25, 6, 0, tzinfo=UTC), seed=seed)
    for number in range(12):
        days.run(150, is_killed=number % 3 == 1)
    return days


def portions(events: list[dict[str, Any]], seed: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the events in portions of any size."""
    chance, place = random.Random(seed), 0  # noqa: S311
    while place < len(events):
        size = chance.randrange(1, 400)
        yield events[place : place + size]
        place += size


def _ms(time: timedelta) -> int:
    return round(time.total_seconds() * 1000)


def entries(events: Iterable[dict[str, Any]]) -> list[Entry]:
    """Return the events with ids, as the log has them."""
    ids = EventIds()
    return [Entry(ids.next(event["time"]), event) for event in events]


def stored(folder: Path, events: list[dict[str, Any]]) -> HistoryStore:
    """Return the events' totals in a database in `folder`."""
    store = HistoryStore(folder / "events.history")
    assert store.add(entries(events), after="")  # noqa: S101
    return store
