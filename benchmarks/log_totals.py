"""Counts a log by itself, to check what the daemon, its page and its reports say of it.

It is written from docs/events.md alone, and in another way than they count: it collects spans of
time, and cuts out of them what a period contains. All times are milliseconds since 1970.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

SPEAKS_OF_A_LABEL = ("face_update", "expression_start", "expression_change", "expression_end")


class Span(NamedTuple):
    """From when to when something was so; `stay_ms` of a face that left, -1 if it did not."""

    begin_ms: int
    end_ms: int
    label: str = ""
    stay_ms: int = -1

    def within(self, begin_ms: int, end_ms: int) -> int:
        """Return how much of it is in a period."""
        return max(0, min(self.end_ms, end_ms) - max(self.begin_ms, begin_ms))


@dataclass
class LogTotals:
    """What a log says of its time: when a camera was watched, and the faces and their labels."""

    recorded: list[Span] = field(default_factory=list)
    faces: list[Span] = field(default_factory=list)
    labels: list[Span] = field(default_factory=list)

    def of(self, begin_ms: int, end_ms: int) -> dict[str, Any]:
        """Return the totals of a period, as a row of /history."""
        came = [face for face in self.faces if begin_ms <= face.begin_ms < end_ms]
        before = [face for face in self.faces if face.begin_ms < begin_ms < face.end_ms]
        stays = [
            face.stay_ms
            for face in self.faces
            if face.stay_ms >= 0 and begin_ms <= face.end_ms < end_ms
        ]
        labels: dict[str, int] = defaultdict(int)
        for span in self.labels:
            labels[span.label] += span.within(begin_ms, end_ms)
        return {
            "recorded_s": sum(span.within(begin_ms, end_ms) for span in self.recorded) / 1000,
            "faces": len(came) + len(before),
            "arrivals": len(came),
            "face_s": sum(face.within(begin_ms, end_ms) for face in self.faces) / 1000,
            "departures": len(stays),
            "stay_s": sum(stays) / 1000,
            "longest_stay_s": max(stays) / 1000 if stays else None,
            "expressions": {label: ms / 1000 for label, ms in sorted(labels.items()) if ms},
        }


def logged(folder: Path) -> list[dict[str, Any]]:
    """Return the events of the log in `folder` and of its archive, in their order."""
    lines: list[str] = []
    for path in folder.glob("events*.jsonl*"):
        if path.suffix in (".gz", ".jsonl"):
            text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            lines += text.decode().splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda event: str(event["id"]))


def totals_of(events: Sequence[Mapping[str, Any]], now_ms: int | None = None) -> LogTotals:
    """Count `events`; what has not ended goes on to `now_ms` if the daemon still runs."""
    totals = LogTotals()
    runs: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        runs[event["run"]].append(event)
    for number, run in enumerate(runs.values(), 1):
        is_last = number == len(runs) and run[-1]["type"] != "daemon_stop"
        end_ms = now_ms if is_last and now_ms is not None else ms_of(run[-1])
        totals.recorded += _recorded(run, end_ms)
        of_faces: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for event in run:
            if "face" in event:
                of_faces[event["face"]].append(event)
        for face in of_faces.values():
            last = face[-1]
            has_left = last["type"] == "face_end"
            stay_ms = round(last["duration_s"] * 1000) if has_left else -1
            left_ms = ms_of(last) if has_left else end_ms
            totals.faces.append(Span(ms_of(face[0]), left_ms, stay_ms=stay_ms))
            totals.labels += _labels(face, left_ms)
    return totals


def _recorded(run: Iterable[Mapping[str, Any]], end_ms: int) -> Iterator[Span]:
    """Yield the time of a run without that of a lost camera and of pauses."""
    reasons: set[str] = set()
    begin_ms = None
    for event in run:
        kind, at_ms = event["type"], ms_of(event)
        before = bool(reasons)
        if kind in ("camera_lost", "pause_start"):
            reasons.add(kind.partition("_")[0])
        elif kind in ("camera_restored", "pause_end"):
            reasons.discard(kind.partition("_")[0])
        if begin_ms is None:
            begin_ms = at_ms
        if reasons and not before:
            yield Span(begin_ms, at_ms)
        elif before and not reasons:
            begin_ms = at_ms
    if begin_ms is not None and not reasons:
        yield Span(begin_ms, end_ms)


def _labels(face: Sequence[Mapping[str, Any]], left_ms: int) -> Iterator[Span]:
    told = [
        (ms_of(event), "" if event["type"] == "expression_end" else event.get("label", ""))
        for event in face
        if event["type"] in SPEAKS_OF_A_LABEL
    ]
    for (begin_ms, label), (end_ms, _) in pairwise([*told, (left_ms, "")]):
        if label:
            yield Span(begin_ms, end_ms, label)


def ms_of(event: Mapping[str, Any]) -> int:
    """Return the time of an event."""
    return round(datetime.fromisoformat(event["time"]).timestamp() * 1000)
