"""Checks the account, the disk, the clock and the board."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from edge_daemon.doctor.account import group_name, has_account, user_name
from edge_daemon.doctor.finding import Finding, edit, error, ok, warning
from edge_daemon.events.archive import Archive
from edge_daemon.status.board import BoardStatus

SERVICE_USER: Final = "mien"  # the service's account, which `make install` creates
MIN_FREE_BYTES: Final = 1_000_000  # with less, the next events may not fit
TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronized
# A Raspberry Pi slows down from this temperature.
# https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#frequency-management-and-thermal-control
HOT_C: Final = 80.0
COOL: Final = "watch cat /sys/class/thermal/thermal_zone*/temp  # while a fan or a heat sink helps"
POWER: Final = "vcgencmd get_throttled  # after a reboot on a stronger power supply: 0x0"


def examine_user(config_file: Path) -> Finding:
    """Check that the doctor runs as the service's account."""
    groups = sorted({group_name(gid) for gid in (os.getegid(), *os.getgroups())})
    if os.geteuid() == 0 and has_account(SERVICE_USER):
        words = [sys.executable, "-m", "edge_daemon", "doctor", "--config", str(config_file)]
        return warning(
            "user",
            f"root has every permission, but the service runs as {SERVICE_USER}",
            shlex.join(["sudo", "-u", SERVICE_USER, *words]),
        )
    return ok("user", f"{user_name()}, a member of {', '.join(groups)}")


def examine_log(path: Path, *, keep_bytes: float, config_file: Path) -> Finding:
    """Check that the event log at `path` can be written and grow to `keep_bytes`."""
    if path.exists() and not os.access(path, os.W_OK):
        return error(
            "disk", f"{path} cannot be written", f"sudo chown {user_name()} {_quoted(path)}"
        )
    growth = _Growth("events.keep_mb", keep_bytes, lambda: [path, *Archive(path).files()])
    return _check_folder(path.parent, growth, config_file)


def examine_snapshots(folder: Path, *, keep_bytes: float, config_file: Path) -> Finding:
    """Check that `folder` can be written and snapshots can grow to `keep_bytes`."""
    growth = _Growth("snapshots.keep_mb", keep_bytes, folder.iterdir)
    return _check_folder(folder, growth, config_file)


def examine_clock(state: int) -> Finding:
    """Check the clock's state, which `clock_state` returned."""
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    if state == TIME_ERROR:
        return warning(
            "clock",
            f"the clock shows {now}, but nothing synchronizes it; events have its time",
            "sudo apt-get install -y systemd-timesyncd && sudo timedatectl set-ntp true",
        )
    if state < 0:
        return ok("clock", f"{now}; this system does not report whether it is synchronized")
    return ok("clock", f"synchronized, {now}")


def clock_state() -> int:
    """Return the state of the kernel's clock by adjtimex(2), or -1 where it is unknown."""
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)))
    except (OSError, AttributeError):
        return -1


def examine_board(status: BoardStatus) -> Iterator[Finding]:
    """Check the temperatures, and whether the board is throttled."""
    if not status.temperatures_c:
        yield ok("temperature", "this machine has no sensor")
    else:
        zone, hottest_c = max(status.temperatures_c.items(), key=lambda each: each[1])
        reading = f"{hottest_c:.1f} °C ({zone})"
        if hottest_c < HOT_C:
            yield ok("temperature", reading)
        else:
            yield warning("temperature", f"{reading}; boards slow down from {HOT_C:g} °C", COOL)
    yield _throttling(status)


def existing_folder(folder: Path) -> Path:
    """Return the absolute path of `folder`, or of its nearest parent that exists."""
    absolute = folder.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())


def _throttling(status: BoardStatus) -> Finding:
    if status.limits is None or status.limits_before is None:
        return ok("throttling", "this machine does not report it")
    if not status.limits and not status.limits_before:
        return ok("throttling", "none since boot")
    limits = status.limits or status.limits_before
    when = "now" if status.limits else "earlier since boot, not now"
    names = ", ".join(limit.replace("_", " ") for limit in limits)
    remedy = POWER if "under_voltage" in limits else COOL
    return warning("throttling", f"the board throttles its processor ({when}): {names}", remedy)


@dataclass(frozen=True, slots=True)
class _Growth:
    """The total size that the setting `key` allows some files."""

    key: str
    keep_bytes: float
    files: Callable[[], Iterable[Path]]

    @property
    def used_bytes(self) -> int:
        try:
            return sum(file.stat().st_size for file in self.files() if file.exists())
        except OSError:
            return 0


def _check_folder(folder: Path, growth: _Growth, config_file: Path) -> Finding:
    """Check that `folder`, or its nearest existing parent, is writable and has room."""
    existing = existing_folder(folder)
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        mount = next(place for place in (existing, *existing.parents) if place.is_mount())
        return error(
            "disk", f"{existing} is read-only", f"sudo mount -o remount,rw {_quoted(mount)}"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        make = f"sudo install -d -o {user_name()} {_quoted(folder)}"
        return error("disk", f"{folder} cannot be written by {user_name()}", make)
    return _check_room(folder.absolute(), shutil.disk_usage(existing).free, growth, config_file)


def _check_room(folder: Path, free_bytes: int, growth: _Growth, config_file: Path) -> Finding:
    used_bytes = growth.used_bytes
    more_bytes = max(growth.keep_bytes - used_bytes, 0.0)
    room = f"{_mb(free_bytes)} MB free for {folder}"
    if free_bytes < min(MIN_FREE_BYTES, more_bytes):
        clean = "sudo apt-get clean && sudo journalctl --vacuum-size=50M"
        return error("disk", f"{room}: too little to write", clean)
    if free_bytes < more_bytes:
        fits = max((free_bytes + used_bytes) / 2e6, 0.1)
        return warning(
            "disk",
            f"{room}, less than the {_mb(more_bytes)} MB that {growth.key} lets it grow by",
            edit(config_file, f"{growth.key}: {fits:.1f}"),
        )
    return ok("disk", f"{room}; {growth.key} lets it grow by {_mb(more_bytes)} MB")


def _mb(size: float) -> str:
    return f"{size / 1e6:,.1f}" if size < 1e7 else f"{size / 1e6:,.0f}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
