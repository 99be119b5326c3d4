"""Turns events into totals per minute.

All times are counted in whole milliseconds, so that sums are exact, however the events are divided
into batches. Minutes are numbered from 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from edge_daemon.history.totals import Totals

MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * 60 * MINUTE_MS
MAX_GAP_MS: Final = 31 * DAY_MS  # a longer one was made by a clock that jumped
MAX_STAY_MS: Final = 100 * 366 * DAY_MS

_STATES: Final = {
    "daemon_start": True,
    "camera_restored": True,
    "camera_lost": False,
    "daemon_stop": False,
}


@dataclass(slots=True)
class OpenFace:
    """A face that has not ended yet."""

    since_ms: int
    label: str = ""


@dataclass(slots=True)
class AggregateState:
    """The state after the events so far, on which the totals of later events depend."""

    run: str = ""
    last_ms: int = 0
    is_recording: bool = False
    is_paused: bool = False
    faces: dict[int, OpenFace] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the state as values for JSON."""
        faces = {id_: [face.since_ms, face.label] for id_, face in self.faces.items()}
        return {
            "run": self.run,
            "last_ms": self.last_ms,
            "is_recording": self.is_recording,
            "is_paused": self.is_paused,
            "faces": faces,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AggregateState:
        """Return the state from the values of `as_dict`, also after they went through JSON."""
        faces = {int(id_): OpenFace(*face) for id_, face in values["faces"].items()}
        recording, paused = values["is_recording"], values.get("is_paused", False)
        return cls(values["run"], values["last_ms"], recording, paused, faces)


def aggregate(
    events: Iterable[Mapping[str, Any]], state: AggregateState
) -> tuple[dict[int, Totals], AggregateState]:
    """Return the totals that `events` of one camera add to each minute, and the state after them.

    `state` is the state before them, and is not changed. Events that do not fit the schema are
    ignored.
    """
    fold = _Fold(state)
    for event in events:
        try:
            fold.add(event)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return fold.minutes, fold.state


def until(state: AggregateState, now_ms: int) -> dict[int, Totals]:
    """Return the totals that the time from the last event to `now_ms` adds."""
    fold = _Fold(state)
    fold.advance(now_ms)
    return fold.minutes


class _Fold:
    """Adds events to the totals and the state."""

    def __init__(self, state: AggregateState) -> None:
        self.state = AggregateState.from_dict(state.as_dict())
        self.minutes: dict[int, Totals] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        state, kind = self.state, event["type"]
        at_ms, run = _milliseconds(event["time"]), event["run"]
        if run != state.run:  # if the earlier daemon was killed, the time since is unknown
            state.run, state.last_ms, state.is_recording = run, at_ms, True
            state.is_paused = False
            state.faces.clear()
        elif kind == "clock_jump":
            self._jump(at_ms, round(float(event["jump_s"]) * 1000))
        else:
            self.advance(at_ms)
        if kind in _STATES:
            state.is_recording = _STATES[kind]
            if not state.is_recording:
                self._forget_faces(kind)
        elif kind in ("pause_start", "pause_end"):
            state.is_paused = kind == "pause_start"
        elif kind == "face_end":
            self._end(event, at_ms)
        elif kind == "face_start":
            self._minute(at_ms).arrivals += 1
            state.faces[int(event["face"])] = OpenFace(at_ms)
        elif "face" in event:
            face = state.faces.setdefault(int(event["face"]), OpenFace(at_ms))
            face.label = "" if kind == "expression_end" else _label(event.get("label"))

    def advance(self, at_ms: int) -> None:
        """Count the time since the last event for the faces and labels that were there."""
        state, start_ms = self.state, self.state.last_ms
        state.last_ms = at_ms
        if not 0 < at_ms - start_ms <= MAX_GAP_MS:
            return
        is_recorded = state.is_recording and not state.is_paused
        if not is_recorded and not state.faces:
            return
        for number in range(start_ms // MINUTE_MS, -(-at_ms // MINUTE_MS)):
            begin_ms = max(number * MINUTE_MS, start_ms)
            took_ms = min((number + 1) * MINUTE_MS, at_ms) - begin_ms
            minute = self.minutes.setdefault(number, Totals())
            minute.recorded_ms += took_ms if is_recorded else 0
            for face in state.faces.values():
                minute.face_ms += took_ms
                minute.carried += begin_ms == number * MINUTE_MS and face.since_ms < begin_ms
                if face.label:
                    sums = minute.expressions
                    sums[face.label] = sums.get(face.label, 0) + took_ms

    def _jump(self, at_ms: int, jump_ms: int) -> None:
        """Count the time until the clock jumped, and continue at its new time."""
        self.advance(at_ms - jump_ms)
        self.state.last_ms = at_ms
        for face in self.state.faces.values():
            face.since_ms += jump_ms

    def _end(self, event: Mapping[str, Any], at_ms: int) -> None:
        self.state.faces.pop(int(event["face"]), None)
        stay_ms = round(float(event["duration_s"]) * 1000)
        if not 0 <= stay_ms <= MAX_STAY_MS:
            raise ValueError(stay_ms)
        minute = self._minute(at_ms)
        minute.departures += 1
        minute.stay_ms += stay_ms
        minute.longest_ms = max(minute.longest_ms, stay_ms)

    def _forget_faces(self, kind: str) -> None:
        if kind == "daemon_stop":
            self.state.faces.clear()

    def _minute(self, at_ms: int) -> Totals:
        return self.minutes.setdefault(at_ms // MINUTE_MS, Totals())


def _label(label: object) -> str:
    """Return a label as a text that SQLite takes; "" for none."""
    return "" if label is None else str(label).encode(errors="replace").decode()


def _milliseconds(time: str) -> int:
    """Return the milliseconds since 1970 of an RFC 3339 time, in UTC without a time zone."""
    at = datetime.fromisoformat(time)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
