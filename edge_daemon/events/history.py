"""The event log read back: its files in, the events that somebody asks for out.

An event's id is its time, a slash, and how many events had that time before it: what
`EventIds` gives in the order of the log is the same whether the event comes live or from disk.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO, cast

from edge_daemon.events.archive import Archive

MAX_EVENTS: Final = 10_000  # at once; who wants more asks for the next page

TIME_KEY: Final = '"time":"'


class Entry(NamedTuple):
    """A past event with its id, as in the log."""

    id: str
    event: dict[str, Any]


class EventIds:
    """Gives events their ids; to be told of each in turn."""

    def __init__(self) -> None:
        self._time, self._number = "", 0

    def next(self, time: str) -> str:
        self._number = self._number + 1 if time == self._time else 0
        self._time = time
        return f"{time}/{self._number}"


@dataclass(frozen=True, slots=True)
class Query:
    """Which events: from `since` to before `until` (RFC 3339 UTC), of these types and labels.

    An empty value asks for all. `after` is the id of the event before the first wanted.
    """

    since: str = ""
    until: str = ""
    types: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    after: str = ""


class EventHistory:
    """Reads the log at `path` and what rotation has left beside it, `.gz` files too.

    `ram` is the file in which events are gathered before they come to the log, if there is one.
    """

    def __init__(self, path: Path, ram: Path | None = None) -> None:
        self._path, self._ram = path, ram

    def find(self, query: Query, limit: int) -> list[Entry]:
        """The first `limit` events, oldest first, that fit `query`."""
        found: list[Entry] = []
        for entry in _after(query.after, self._entries(max(query.since, _time_of(query.after)))):
            time = entry.event["time"]
            if query.until and time >= query.until:
                continue
            if time >= query.since and _fits(entry.event, query):
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    def after(self, id_: str) -> Iterator[Entry]:
        """Every event after the one with this id, as they stand in the log.

        If that one is no more there, those with a later time than its.
        """
        time, passed = _time_of(id_), False
        for since in (time, ""):  # from the likely file on; a clock that was set back misleads
            for entry_id, line in self._numbered(since):
                if passed:
                    yield from _entry(entry_id, line)
                passed = passed or entry_id == id_
            if passed:
                return
        yield from (entry for entry in self._entries(time) if entry.event["time"] > time)

    def _entries(self, since: str) -> Iterator[Entry]:
        """The events of the files in turn; lines from before `since` are not even parsed."""
        for id_, line in self._numbered():
            if _time_of(id_) >= since:
                yield from _entry(id_, line)

    def _numbered(self, since: str = "") -> Iterator[tuple[str, str]]:
        """The log's lines with the ids of their events; files from before `since` are left out.

        Where the clock was set back, lines from after it may be among those.
        """
        ids = EventIds()
        for line in self._lines(since):
            yield ids.next(_time_in(line)), line

    def _lines(self, since: str) -> Iterator[str]:
        """The log's lines, oldest first, whatever its writer does meanwhile.

        What is in RAM is read first, so that nothing is missed that goes to the disk later; what
        was found there is left out.
        """
        gathered = list(_lines_of(self._ram)) if self._ram else []
        only_there = set(gathered)
        for line in self._lines_on_disk(since):
            only_there.discard(line)
            yield line
        yield from (line for line in gathered if line in only_there)

    def _lines_on_disk(self, since: str) -> Iterator[str]:
        with ExitStack() as open_files:
            old, newest = self._files(open_files)
            for path in _from_file_of(since, old):
                yield from _lines_of(path)
            if newest is not None:
                yield from _whole(newest)

    def _files(self, open_files: ExitStack) -> tuple[list[Path], TextIO | None]:
        """The files put aside and the log itself, none of them twice."""
        while True:
            newest = None
            try:
                newest = open_files.enter_context(_open(self._path))
            except FileNotFoundError:
                pass
            except OSError:
                return self._old_files(), None
            old = self._old_files()
            if _leads_to(self._path, newest):  # else it was put aside just now
                return old, newest

    def _old_files(self) -> list[Path]:
        """The archive and what logrotate left, each with the oldest first."""
        rotated = [p for p in self._path.parent.glob(f"{self._path.name}?*") if p.is_file()]
        with suppress(OSError):
            rotated.sort(key=lambda path: path.stat().st_mtime)
        archived: list[Path] = []
        with suppress(OSError):
            archived = Archive(self._path).files()
        return [*archived, *rotated]


def _lines_of(path: Path) -> Iterator[str]:
    """The lines of a file that may be compressed or deleted at any moment."""
    with suppress(OSError, EOFError):  # deleted, or cut off: what could be read counts
        try:
            lines = _open(path)
        except FileNotFoundError:
            lines = _open(path.with_name(f"{path.name}.gz"))
        with lines:
            yield from _whole(lines)


def _from_file_of(since: str, files: list[Path]) -> list[Path]:
    """Of `files`, oldest first, those from the last on that begins at `since` or before."""
    if since:
        for place in range(len(files) - 1, -1, -1):
            if _time_in(next(_lines_of(files[place]), "")) <= since:
                return files[place:]
    return files


def _open(path: Path) -> TextIO:
    opener = gzip.open if path.suffix == ".gz" else open
    return cast(TextIO, opener(path, "rt", encoding="utf-8", errors="replace"))


def _whole(lines: Iterable[str]) -> Iterator[str]:
    return (line for line in lines if TIME_KEY in line and line.endswith("\n"))


def _leads_to(path: Path, file: TextIO | None) -> bool:
    """Whether `path` is still that of the open `file`; of None, whether there is still nothing."""
    try:
        status = path.stat()
    except OSError:
        return file is None
    return file is not None and os.path.samestat(status, os.fstat(file.fileno()))


def _after(last: str, entries: Iterable[Entry]) -> Iterator[Entry]:
    """What follows the event `last`; if it is no more there, what is later than it."""
    if not last:
        yield from entries
        return
    passed = False
    for entry in entries:
        if entry.id == last:
            passed = True
        elif passed or entry.event["time"] > _time_of(last):
            yield entry


def _entry(id_: str, line: str) -> Iterator[Entry]:
    """The event in `line`; none if it was torn or tampered with."""
    with suppress(ValueError):
        yield Entry(id_, json.loads(line))


def _time_of(id_: str) -> str:
    return id_.partition("/")[0]


def _time_in(line: str) -> str:
    start = line.find(TIME_KEY) + len(TIME_KEY)
    return line[start : line.find('"', start)]


def _fits(event: dict[str, Any], query: Query) -> bool:
    return (not query.types or event["type"] in query.types) and (
        not query.labels or event.get("label") in query.labels
    )
