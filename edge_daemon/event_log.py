"""The event log: events from a backlog in, `events.jsonl` out, a whole line at a time."""

from __future__ import annotations

import io
import json
import logging
import os
from pathlib import Path

from edge_daemon.backlog import Backlog
from edge_daemon.events import Event

RETRY_S = 1.0

log = logging.getLogger(__name__)


class EventLogError(ValueError):
    """The log cannot be opened for writing; the message names the file."""


class EventLog:
    """Appends events to a JSON Lines file, flushed line by line.

    Opening repairs a last line that a power cut tore. A line that cannot be written (disk full)
    is tried again every second, while newer events wait in the backlog. Raises EventLogError.
    """

    def __init__(self, path: Path, backlog: Backlog[Event]) -> None:
        self.path = path
        self._backlog = backlog
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = repair_last_line(path)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise EventLogError(
                f"{path}: the event log cannot be written: {error.strerror}; "
                "set `events.path` to a file this user may write."
            ) from error
        if torn:
            log.warning("%s: removed a torn last line of %d bytes", path, torn)

    def run(self) -> None:
        """Write events until the backlog is closed and empty: the body of the log's thread."""
        while not self._backlog.drained:
            event = self._backlog.get(RETRY_S)
            if event is not None:
                self._write(event.as_line().encode())
        self._file.close()

    def _write(self, line: bytes) -> None:
        """Write the whole line, waiting for room; gives up only when the daemon stops."""
        failed = False
        while True:
            try:
                write_whole(self._file, line)
            except OSError as error:
                if not failed:
                    log.warning("%s: cannot be written: %s; trying on", self.path, error.strerror)
                failed = True
                if self._backlog.wait_closed(RETRY_S):
                    log.warning("%s: an event could not be written before the stop", self.path)
                    return
            else:
                if failed:
                    log.info("%s: writing again", self.path)
                return


def write_whole(file: io.FileIO, line: bytes) -> None:
    """Write `line` at the end of `file`, or nothing: a part written is taken back."""
    start = os.fstat(file.fileno()).st_size
    written = file.write(line)
    if written != len(line):
        file.truncate(start)
        raise OSError(28, "No space left on device")


def repair_last_line(path: Path) -> int:
    """End `path` with a whole line: complete the last one, or cut it off if it is no JSON.

    Returns the number of bytes cut off.
    """
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = _start_of_last_line(file, size)
        file.seek(start)
        tail = file.read(size - start)
        if not tail or tail.endswith(b"\n"):
            return 0
        try:
            json.loads(tail)
        except ValueError:
            file.truncate(start)
            return len(tail)
        file.write(b"\n")
        return 0


def _start_of_last_line(file: io.BufferedRandom, size: int) -> int:
    """Offset of the first byte after the last line feed before the end, 0 if there is none."""
    position = size
    while position > 0:
        step = min(4096, position)
        position -= step
        file.seek(position)
        found = file.read(step).rfind(b"\n")
        if found >= 0:
            return position + found + 1
    return 0
