"""Reads the event log back.

An event's id is its time, a slash and a digit: `2026-01-31T12:00:00.250Z/0`. Ids grow in the order
of the log and sort as text. If the clock is set back, or more than ten events have the same time,
the id gets a time one millisecond after the last. Lines of earlier versions contain no id; they get
one when they are read.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

from edge_daemon.core.types import rfc3339
from edge_daemon.events.archive import Archive

MAX_EVENTS: Final = 10_000  # in one answer; a client asks for the next page
MARGIN: Final = timedelta(days=1)  # how far the clock may have been set back within a file
CHECK_LINES: Final = 50  # between two checks whether a query was canceled
TAIL_BYTES: Final = 65536
MAX_HEADS: Final = 10_000

_HEAD: Final = re.compile(rb'\{(?:"schema":\d+,)?(?:"id":"([^"]*)",)?"time":"([^"]*)"')
_TIME: Final = re.compile(rb'()"time":"([^"]*)"')


class Entry(NamedTuple):
    """A past event with its id."""

    id: str
    event: dict[str, Any]


class EventIds:
    """Gives events growing ids; `last` is the newest one."""

    def __init__(self, last: str = "") -> None:
        self.last = last

    def next(self, time: str) -> str:
        """Return the id of an event at `time`, RFC 3339 in UTC with milliseconds."""
        last_time, number = id_order(self.last)
        if time > last_time:
            self.last = f"{time}/0"
        elif number < 9:
            self.last = f"{last_time}/{number + 1}"
        else:
            later = datetime.fromisoformat(last_time) + timedelta(milliseconds=1)
            self.last = f"{rfc3339(later)}/0"
        return self.last


def id_order(id_: str) -> tuple[str, int]:
    """Return a key that sorts ids in the order of the log; a time alone sorts before its events."""
    time, _, number = id_.partition("/")
    return time, int(number) if number.isdecimal() and len(number) < 10 else -1


@dataclass(frozen=True, slots=True)
class Query:
    """Selects events: from `since` to before `until` (RFC 3339 UTC), of these types and labels.

    Only events after the one with the id `after` and before the one with the id `before` match. An
    empty value does not restrict.
    """

    since: str = ""
    until: str = ""
    types: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    after: str = ""
    before: str = ""


class EventLogReader:
    """Reads the log at `path` and its rotated files, also compressed ones, while they are written.

    `ram` is the file that collects events before they are flushed to the log, if there is one. A
    `path` of None stands for a log that cannot be read back, such as standard output; it has no
    events.
    """

    def __init__(self, path: Path | None, ram: Path | None = None) -> None:
        self._path, self._ram = path, ram
        self._first_heads: dict[tuple[str, int, int], _Head] = {}

    def find(
        self,
        query: Query,
        limit: int,
        *,
        newest_first: bool = False,
        is_canceled: Callable[[], bool] = lambda: False,
    ) -> list[Entry]:
        """Return the first `limit` events that match `query`, oldest or newest first.

        Returns the events found so far once `is_canceled` returns True. Files outside `since`,
        `until` and `after` are not read. If the clock was set back by more than a day, events with
        a time before `until` may be missed.
        """
        found: list[Entry] = []
        with ExitStack() as open_files:
            parts = self._parts(open_files, query)
            for part in reversed(parts) if newest_first else parts:
                entries = _matching(part, query, is_canceled)
                for entry in reversed(list(entries)) if newest_first else entries:
                    found.append(entry)
                    if len(found) == limit:
                        return found
                if is_canceled():
                    break
        return found

    def after(self, id_: str) -> Iterator[Entry]:
        """Yield every event after the one with this id, in the order of the log."""
        query = Query(after=id_)
        with ExitStack() as open_files:
            for part in self._parts(open_files, query):
                yield from _matching(part, query, lambda: False)

    def last_id(self) -> str:
        """Return the id of the last event; "" for an empty log."""
        with ExitStack() as open_files:
            files = [self._ram] if self._ram else []
            old, _ = self._files(open_files)
            files += [self._path] if self._path else []
            last_ids = (_last_id(_last_lines(path)) for path in [*files, *reversed(old)])
            return next(filter(None, last_ids), "")

    def _parts(self, open_files: ExitStack, query: Query) -> list[Iterable[bytes]]:
        """Return the files' lines, oldest file first, without the files that cannot match `query`.

        RAM is read first, so that events that are flushed meanwhile are not missed.
        """
        in_ram = list(_lines_of(self._ram)) if self._ram else []
        old, newest = self._files(open_files)
        parts: list[Iterable[bytes]] = [_lines_of(path) for path in self._relevant(old, query)]
        on_disk = ""
        if newest is not None:
            size = os.fstat(newest.fileno()).st_size
            on_disk = _last_id(_tail(newest, size)) if in_ram else ""
            parts.append(_lines_up_to(newest, size))
        if in_ram:
            on_disk = on_disk or (_last_id(_last_lines(old[-1])) if old else "")
            parts.append(_after(on_disk, in_ram))
        return parts

    def _files(self, open_files: ExitStack) -> tuple[list[Path], BinaryIO | None]:
        """Return the rotated files and the opened log, even if it is rotated at this moment."""
        if self._path is None:
            return [], None
        while True:
            newest = None
            try:
                newest = open_files.enter_context(_open(self._path))
            except FileNotFoundError:
                pass
            except OSError:
                return self._old_files(self._path), None
            old = self._old_files(self._path)
            if _is_at(self._path, newest):  # else it was rotated just now
                return old, newest

    def _old_files(self, log: Path) -> list[Path]:
        """Return the files of the archive and those of logrotate, each oldest first."""
        rotated = [path for path in log.parent.glob(f"{log.name}?*") if path.is_file()]
        with suppress(OSError):
            rotated.sort(key=lambda path: path.stat().st_mtime)
        archived: list[Path] = []
        with suppress(OSError):
            archived = Archive(log).files()
        return [*archived, *rotated]

    def _relevant(self, files: list[Path], query: Query) -> list[Path]:
        """Return those of the rotated `files`, oldest first, that may have events for `query`.

        Only the first line of a file is read: ids grow from file to file, and no id is earlier than
        its event's time.
        """
        start = max(id_order(query.after), id_order(query.since))
        if start > id_order(""):
            for place in range(len(files) - 1, -1, -1):
                head = self._first_head(files[place])
                if head is not None and id_order(head.id) <= start:
                    files = files[place:]
                    break
        if not query.until and not query.before:
            return files
        heads = [(path, self._first_head(path)) for path in files]
        end = _later(query.until, MARGIN) if query.until else ""
        before = id_order(query.before)
        return [
            path
            for path, head in heads
            if head is None
            or ((not end or head.time < end) and (not query.before or id_order(head.id) < before))
        ]

    def _first_head(self, path: Path) -> _Head | None:
        try:
            status = path.stat()
        except OSError:
            return None
        key = str(path), status.st_ino, status.st_size
        if key not in self._first_heads:
            if len(self._first_heads) > MAX_HEADS:
                self._first_heads.clear()
            for head, _ in _with_heads(_lines_of(path)):
                self._first_heads[key] = head
                break
        return self._first_heads.get(key)


class _Head(NamedTuple):
    """The id and time of a line."""

    id: str
    time: str


def _with_heads(lines: Iterable[bytes]) -> Iterator[tuple[_Head, bytes]]:
    """Yield each line of a file with its id; lines of earlier versions get a new id."""
    ids = EventIds()
    for line in lines:
        found = _HEAD.match(line) or _TIME.search(line)
        if found is None:
            continue
        own, time = found[1] or b"", found[2].decode(errors="replace")
        if own:
            ids.last = own.decode(errors="replace")
        else:
            with suppress(ValueError):  # a time that cannot be moved on
                ids.next(time)
        yield _Head(ids.last, time), line


def _matching(
    lines: Iterable[bytes], query: Query, is_canceled: Callable[[], bool]
) -> Iterator[Entry]:
    """Yield the events of a file that match `query`; most others are not parsed."""
    after, before = id_order(query.after), id_order(query.before)
    for number, (head, line) in enumerate(_with_heads(lines)):
        if number % CHECK_LINES == 0 and is_canceled():
            return
        if head.time < query.since or (query.until and head.time >= query.until):
            continue
        if query.after and id_order(head.id) <= after:
            continue
        if query.before and id_order(head.id) >= before:
            continue
        with suppress(ValueError, RecursionError):  # a line that was torn or tampered with
            event = json.loads(line)
            if isinstance(event, dict) and _fits(event, query):
                yield Entry(head.id, event)


def _fits(event: dict[str, Any], query: Query) -> bool:
    return (not query.types or event.get("type") in query.types) and (
        not query.labels or event.get("label") in query.labels
    )


def _lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that may be compressed or deleted at any moment."""
    with suppress(OSError, EOFError, zlib.error):  # deleted or damaged: keep what could be read
        try:
            lines = _open(path)
        except FileNotFoundError:
            lines = _open(path.with_name(f"{path.name}.gz"))
        with lines:
            yield from _whole(lines)


def _last_lines(path: Path) -> Iterator[bytes]:
    """Yield the last lines of a file; of a compressed one, all of them."""
    if path.suffix == ".gz":
        yield from _lines_of(path)
        return
    with suppress(OSError), path.open("rb") as file:
        yield from _tail(file, os.fstat(file.fileno()).st_size)


def _tail(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Return the last lines before the offset `size`; leaves the file at its beginning."""
    file.seek(max(size - TAIL_BYTES, 0))
    content = file.read(min(size, TAIL_BYTES))
    file.seek(0)
    return _whole(content.splitlines(keepends=True)[size > TAIL_BYTES :])


def _lines_up_to(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the lines before the offset `size`."""
    for line in _whole(file):
        size -= len(line)
        if size < 0:
            return
        yield line


def _last_id(lines: Iterable[bytes]) -> str:
    last = ""
    for head, _ in _with_heads(lines):
        last = head.id
    return last


def _after(id_: str, lines: Iterable[bytes]) -> Iterator[bytes]:
    """Return the lines with ids after `id_`; the others have been flushed to the disk meanwhile."""
    return (line for head, line in _with_heads(lines) if id_order(head.id) > id_order(id_))


def _open(path: Path) -> BinaryIO:
    opener = gzip.open if path.suffix == ".gz" else open
    return cast(BinaryIO, opener(path, "rb"))


def _whole(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (line for line in lines if line.endswith(b"\n"))


def _is_at(path: Path, file: BinaryIO | None) -> bool:
    """Return whether `path` is still the open `file`; for None, whether it still does not exist."""
    try:
        status = path.stat()
    except OSError:
        return file is None
    return file is not None and os.path.samestat(status, os.fstat(file.fileno()))


def _later(time: str, by: timedelta) -> str:
    """Return a time later than `time`; "" if it is not a time."""
    with suppress(ValueError, OverflowError):
        return rfc3339(datetime.fromisoformat(time) + by)
    return ""
