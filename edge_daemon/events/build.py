"""Builds the event log and its readers from the configuration."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from edge_daemon.config.schema import Config
from edge_daemon.core.errors import reason_of
from edge_daemon.core.files import FileLock, LockTaken
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.events.events import Event
from edge_daemon.events.log_reader import EventLogReader
from edge_daemon.events.ram import RamLog
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.events.snapshots import Shot, SnapshotPolicy, SnapshotWriter
from edge_daemon.events.stream import StreamLog, is_stream
from edge_daemon.events.writer import TRANSIENT, EventLog, EventLogError, LogStore

log = logging.getLogger(__name__)

DAY_S: Final = 86400.0


def build_event_log(config: Config, backlog: Backlog[Event]) -> EventLog:
    """Return the log that writes the events of `backlog`. Raises EventLogError."""
    name, folder = config.events.path, config.events.ram_dir
    path = log_file(config)
    store: LogStore
    if path is None:
        if folder:
            raise EventLogError(
                f"events.ram_dir: events in RAM need a log file, but events.path is {name}; "
                "leave events.ram_dir empty or set events.path to a file."
            )
        store = StreamLog(name)
    else:
        disk = RotatingLog(path, log_policy(config))
        store = RamLog(Path(folder), disk) if folder else disk
    return EventLog(Path(name), store, backlog)


def build_log_reader(config: Config) -> EventLogReader:
    """Return a reader of the log; it finds no events if the log is a stream."""
    path, folder = log_file(config), config.events.ram_dir
    return EventLogReader(path, ram=Path(folder) / path.name if folder and path else None)


def build_snapshot_writer(
    config: Config, shots: Backlog[Shot], pictures: Latest[bytes]
) -> SnapshotWriter:
    """Return the writer of the pictures of `shots`."""
    folder = Path(config.snapshots.path)
    return SnapshotWriter(folder, snapshot_policy(config), shots, pictures)


def log_file(config: Config) -> Path | None:
    """Return the log's file, with links resolved; None for a stream. Raises EventLogError."""
    name = config.events.path
    if is_stream(name):
        return None
    key, given = "events.path", name
    try:
        path = Path(name).resolve()
        is_folder = path.is_dir()
        key, given = "events.ram_dir", config.events.ram_dir
        ram = Path(given).resolve() if given else None
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # a loop of links, a NUL, a long name
        raise EventLogError(
            f"{key}: {given!r:.100} cannot be resolved: {reason_of(error)}."
        ) from error
    if is_folder:
        raise EventLogError(
            f"events.path: {path} cannot be written: it is a folder; set a file in that folder."
        )
    if ram == path.parent:
        raise EventLogError(
            f"events.ram_dir: {ram} is the folder of events.path, where events in RAM would "
            "replace the log; set another folder, such as /run/mien."
        )
    return path


def lock_log(config: Config) -> list[FileLock]:
    """Lock the log's files against other daemons. Raises EventLogError.

    The locks hold until they are released, or the process ends. A full or read-only disk is only
    logged, because the log waits for it.
    """
    path = log_file(config)
    if path is None:
        return []
    names = {"events.path": path}
    if config.events.ram_dir:
        names["events.ram_dir"] = Path(config.events.ram_dir) / path.name
    locks = []
    for key, name in names.items():
        try:
            locks.append(FileLock(name))
        except LockTaken as taken:
            raise EventLogError(
                f"{key}: {name} is in use by another daemon ({taken.holder}); stop that one, or "
                f"set {key} to another place."
            ) from None
        except OSError as error:
            if error.errno not in TRANSIENT:
                raise EventLogError(
                    f"{name}: the event log cannot be written: {error.strerror}; set `{key}` to "
                    "another place."
                ) from error
            log.warning("%s: not locked against other daemons: %s", name, error.strerror)
    return locks


def check_log(config: Config) -> None:
    """Check that the log can be written, without writing anything. Raises EventLogError."""
    path = log_file(config)
    folders = [path.parent] if path else []
    folders += [Path(config.events.ram_dir)] if config.events.ram_dir else []
    for folder in folders:
        existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        writable = os.access(existing, os.W_OK | os.X_OK)
        if path and folder == path.parent and path.exists():
            writable = os.access(path, os.W_OK)
        if not (existing.is_dir() and writable):
            key = "events.path" if path and folder == path.parent else "events.ram_dir"
            raise EventLogError(
                f"{key}: {existing} is not a folder that this user may write to; set another one."
            )


def log_policy(config: Config) -> LogPolicy:
    """Return the limits of the log's size and age."""
    events = config.events
    return LogPolicy(
        rotate_bytes=events.rotate_mb * 1e6,
        rotate_s=events.rotate_h * 3600,
        keep_bytes=events.keep_mb * 1e6,
        keep_s=events.keep_days * DAY_S,
        fsync=events.fsync,
        flush_s=events.ram_flush_s,
    )


def snapshot_policy(config: Config) -> SnapshotPolicy:
    """Return the limits of the pictures' size and age."""
    snapshots = config.snapshots
    return SnapshotPolicy(keep_bytes=snapshots.keep_mb * 1e6, keep_s=snapshots.keep_days * DAY_S)
