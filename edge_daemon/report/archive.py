"""Reads the events of many logs, in the order in which they are counted: one run after the other.

A run is the time from a daemon's start to its stop. Runs are independent of each other, so logs of
several cameras may be mixed or split, and events may be repeated or late. A line is an event as the
log has it, or a broker's message as written by `mosquitto_sub -F %j` and `-F %J`, whose payload is
an event.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from edge_daemon.core.errors import UserError, reason_of

GZIP: Final = b"\x1f\x8b"
MAX_BYTES: Final = 500_000_000  # the limit without DuckDB, which holds all events in memory
PACKED: Final = 10  # times that a compressed log grows
SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".ndjson", ".ndjson.gz")
YEARS: Final = (1970, 2200)  # the first year of valid times, and the first after them
EVENT_TOPIC: Final = "/event"  # the end of the topic of events
# Early versions wrote events without ids; of events with the same time, these types come first.
ORDER: Final = ("daemon_start", "camera_restored", "face_start")


class ArchiveUnreadable(UserError):
    """A log cannot be read; the message names it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a camera's daemon, with the source of its events and their first and last time.

    `source` is the topic of the device, or the folder of the log.
    """

    camera: str
    run: str
    source: str
    first: str
    last: str


class RunEvent(NamedTuple):
    """The fields of an event that are needed to count it."""

    camera: str
    run: str
    id: str
    time: str
    type: str
    face: int | None
    label: str | None
    duration_s: float | None
    jump_s: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the event in the form that `aggregate` accepts."""
        event: dict[str, Any] = {"run": self.run, "time": self.time, "type": self.type}
        if self.face is not None:
            event["face"] = self.face
        if self.label is not None:
            event["label"] = self.label
        if self.duration_s is not None:
            event["duration_s"] = self.duration_s
        if self.jump_s is not None:
            event["jump_s"] = self.jump_s
        return event


class EventArchive(Protocol):
    """Logs that have been read."""

    skipped: int  # lines that are not events

    def runs(self) -> list[Run]:
        """Return all runs."""

    def events(self) -> Iterator[RunEvent]:
        """Yield the events run by run, each run in order; repeated events are not removed."""


def logs_in(paths: Sequence[Path]) -> list[Path]:
    """Return the files among `paths`, and the logs in the folders among `paths`.

    Raises ArchiveUnreadable if a path does not exist, or a folder contains no log.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            files = [each for each in sorted(path.rglob("*")) if each.name.endswith(SUFFIXES)]
            if not files:
                raise ArchiveUnreadable(f"{path}: no .jsonl or .jsonl.gz file is in this folder.")
            found += files
        elif path.exists():
            found.append(path)
        else:
            raise ArchiveUnreadable(
                f"{path} does not exist; name an event log or a folder of logs."
            )
    return list(dict.fromkeys(found))


def unreadable(path: Path, error: Exception) -> ArchiveUnreadable:
    """Return the error for a file that cannot be read, or not to its end."""
    reason = reason_of(error).rstrip(".")
    fix = ""
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile) or "GZIP" in reason:
        part = path.with_suffix("").name
        fix = f"; fix: leave it out, or save its readable part: zcat {path} > {part}"
    return ArchiveUnreadable(f"{path} cannot be read: {reason}{fix}.")


def device_of(topic: str | None, path: Path) -> str:
    """Return the source of a line: the topic before /event, else the folder."""
    return topic.removesuffix(EVENT_TOPIC) if topic else str(path.parent)


class MemoryArchive:
    """Reads logs with Python alone, and keeps their events in memory.

    Raises ArchiveUnreadable for a file that is damaged, and if they are too large for this.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.skipped = 0
        self._runs: dict[tuple[str, str], Run] = {}
        self._events: dict[tuple[str, str], list[RunEvent]] = {}
        if sum(_size(path) for path in paths) > MAX_BYTES:
            raise ArchiveUnreadable(
                f"logs of more than {MAX_BYTES // 1_000_000} MB can only be read with DuckDB; "
                "fix: pip install duckdb."
            )
        for path in paths:
            try:
                with path.open("rb") as file:
                    self._read(path, file)
            except (OSError, EOFError, zlib.error) as error:
                raise unreadable(path, error) from error

    def runs(self) -> list[Run]:
        return list(self._runs.values())

    def events(self) -> Iterator[RunEvent]:
        for key in sorted(self._events):
            yield from sorted(self._events[key], key=_order)

    def _read(self, path: Path, file: BinaryIO) -> None:
        is_packed = file.read(2) == GZIP
        file.seek(0)
        for line in gzip.open(file) if is_packed else file:  # noqa: SIM115 - closed by the caller
            try:
                self._add(path, json.loads(line.decode("utf-8-sig")))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                self.skipped += bool(line.strip())

    def _add(self, path: Path, values: Any) -> None:
        topic, payload = values.get("topic"), values.get("payload")
        if payload is not None:
            values = json.loads(payload) if isinstance(payload, str) else payload
        time, face = values["time"], values.get("face")
        duration_s, jump_s = values.get("duration_s"), values.get("jump_s")
        if not YEARS[0] <= datetime.fromisoformat(time).year < YEARS[1]:
            raise ValueError(time)
        event = RunEvent(
            str(values["camera"]),
            str(values["run"]),
            str(values.get("id") or time),
            str(time),
            str(values["type"]),
            None if face is None else int(face),
            values.get("label"),
            None if duration_s is None else float(duration_s),
            None if jump_s is None else float(jump_s),
        )
        key = event.camera, event.run
        self._events.setdefault(key, []).append(event)
        known = self._runs.get(key)
        self._runs[key] = Run(
            *key,
            known.source if known else device_of(topic, path),
            min(known.first, event.time) if known else event.time,
            max(known.last, event.time) if known else event.time,
        )


def _order(event: RunEvent) -> tuple[str, int]:
    return event.id, ORDER.index(event.type) if event.type in ORDER else len(ORDER)


def _size(path: Path) -> int:
    size = path.stat().st_size
    return size * PACKED if path.suffix == ".gz" else size
