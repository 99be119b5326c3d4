"""The account, the disk, the clock and the board in, whether the daemon can live with them out."""

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

SERVICE_USER: Final = "mien"  # whom `make install` makes the service run as
LEAST_BYTES: Final = 1_000_000  # of room; below it the next lines may not be written
TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
# Where a Raspberry Pi begins to slow down.
# https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#frequency-management-and-thermal-control
HOT_C: Final = 80.0
COOL: Final = "watch cat /sys/class/thermal/thermal_zone*/temp  # while a fan or a heat sink helps"
POWER: Final = "vcgencmd get_throttled  # after a reboot on a stronger power supply: 0x0"


def examine_user(config_file: Path) -> Finding:
    """Whether this examines for the account that the service runs as."""
    groups = sorted({group_name(gid) for gid in (os.getegid(), *os.getgroups())})
    if os.geteuid() == 0 and has_account(SERVICE_USER):
        words = [sys.executable, "-m", "edge_daemon", "doctor", "--config", str(config_file)]
        return warning(
            "user",
            f"root may do everything, and the service runs as {SERVICE_USER}",
            shlex.join(["sudo", "-u", SERVICE_USER, *words]),
        )
    return ok("user", f"{user_name()}, in the groups {', '.join(groups)}")


def examine_log(path: Path, *, keep_bytes: float, config_file: Path) -> Finding:
    """Whether the event log at `path` can be written and grow to `keep_bytes`."""
    if path.exists() and not os.access(path, os.W_OK):
        return error(
            "disk", f"{path} cannot be written", f"sudo chown {user_name()} {_quoted(path)}"
        )
    growth = _Growth("events.keep_mb", keep_bytes, lambda: [path, *Archive(path).files()])
    return _folder(path.parent, growth, config_file)


def examine_snapshots(folder: Path, *, keep_bytes: float, config_file: Path) -> Finding:
    """Whether pictures can be written to `folder` until there are `keep_bytes` of them."""
    growth = _Growth("snapshots.keep_mb", keep_bytes, folder.iterdir)
    return _folder(folder, growth, config_file)


def examine_clock(state: int) -> Finding:
    """Judge what `clock_state` gave."""
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    if state == TIME_ERROR:
        return warning(
            "clock",
            f"the clock says {now}, but nothing synchronises it, and events carry its time",
            "sudo apt-get install -y systemd-timesyncd && sudo timedatectl set-ntp true",
        )
    if state < 0:
        return ok("clock", f"{now}; whether it is synchronised cannot be told here")
    return ok("clock", f"synchronised, {now}")


def clock_state() -> int:
    """What adjtimex(2) says of the kernel's clock; -1 where it says nothing."""
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)))
    except (OSError, AttributeError):
        return -1


def examine_board(status: BoardStatus) -> Iterator[Finding]:
    """Judge the temperatures, and what holds the processor back."""
    if not status.temperatures_c:
        yield ok("temperature", "this machine tells none")
    else:
        zone, hottest_c = max(status.temperatures_c.items(), key=lambda each: each[1])
        told = f"{hottest_c:.1f} °C ({zone})"
        if hottest_c < HOT_C:
            yield ok("temperature", told)
        else:
            yield warning("temperature", f"{told}; boards slow down from {HOT_C:g} °C on", COOL)
    yield _throttling(status)


def _throttling(status: BoardStatus) -> Finding:
    if status.limits is None or status.limits_before is None:
        return ok("throttling", "this machine does not tell of any")
    if not status.limits and not status.limits_before:
        return ok("throttling", "none since the start")
    limits = status.limits or status.limits_before
    when = "now" if status.limits else "since the start, not now"
    names = ", ".join(limit.replace("_", " ") for limit in limits)
    remedy = POWER if "under_voltage" in limits else COOL
    return warning("throttling", f"the board holds its processor back ({when}): {names}", remedy)


@dataclass(frozen=True, slots=True)
class _Growth:
    """What the setting `key` lets some files grow to, all together."""

    key: str
    keep_bytes: float
    files: Callable[[], Iterable[Path]]

    @property
    def used_bytes(self) -> int:
        try:
            return sum(file.stat().st_size for file in self.files() if file.exists())
        except OSError:
            return 0


def _folder(folder: Path, growth: _Growth, config_file: Path) -> Finding:
    """Whether `folder`, or that in which it will be made, can be written and has the room."""
    whole = folder.absolute()
    there = next(place for place in (whole, *whole.parents) if place.exists())
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        mount = next(place for place in (there, *there.parents) if place.is_mount())
        return error("disk", f"{there} is read-only", f"sudo mount -o remount,rw {_quoted(mount)}")
    if not os.access(there, os.W_OK | os.X_OK):
        make = f"sudo install -d -o {user_name()} {_quoted(folder)}"
        return error("disk", f"{folder} cannot be written by {user_name()}", make)
    return _room(whole, shutil.disk_usage(there).free, growth, config_file)


def _room(folder: Path, free_bytes: int, growth: _Growth, config_file: Path) -> Finding:
    used_bytes = growth.used_bytes
    more_bytes = max(growth.keep_bytes - used_bytes, 0.0)
    told = f"{_mb(free_bytes)} MB free for {folder}"
    if free_bytes < min(LEAST_BYTES, more_bytes):
        clean = "sudo apt-get clean && sudo journalctl --vacuum-size=50M"
        return error("disk", f"{told}: too little to write", clean)
    if free_bytes < more_bytes:
        fits = max((free_bytes + used_bytes) / 2e6, 0.1)
        return warning(
            "disk",
            f"{told}, less than the {_mb(more_bytes)} MB by which {growth.key} lets it grow",
            edit(config_file, f"{growth.key}: {fits:.1f}"),
        )
    return ok("disk", f"{told}; {growth.key} lets it grow by {_mb(more_bytes)} MB")


def _mb(size: float) -> str:
    return f"{size / 1e6:,.1f}" if size < 1e7 else f"{size / 1e6:,.0f}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
