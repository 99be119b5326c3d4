"""A control group with a memory limit, for a process and its children."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/sys/fs/cgroup")


class Files(NamedTuple):
    """The names of what is used, in version 1 or 2 of control groups (cgroups(7))."""

    limit: str
    highest: str
    kills: str


V1 = Files("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")
V2 = Files("memory.max", "memory.peak", "memory.events")


class MemoryGroup:
    """The group in `folder`; `wrapper` starts a command in it."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder, self._files = folder, files
        procs = folder / "cgroup.procs"
        self.wrapper = ("sh", "-c", f'echo $$ > "{procs}" && exec "$@"', "sh")

    def highest_mb(self) -> float:
        """Return the most memory that was in use since the last call, with the files it cached."""
        path = self._folder / self._files.highest
        highest = int(path.read_text()) / 1e6
        with suppress(OSError):
            path.write_text("0")
        return highest

    def kills(self) -> int:
        """Return how many processes were killed because the limit was reached."""
        lines = (self._folder / self._files.kills).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[MemoryGroup]:
    """Make a group below this process's own, and remove it; needs root.

    Ends the program with a sentence where groups cannot be made.
    """
    parent, files = _own_group()
    folder = parent / f"mien-{os.getpid()}"
    try:
        if files is V2:
            (parent / "cgroup.subtree_control").write_text("+memory")
        folder.mkdir()
        (folder / files.limit).write_text(str(limit_bytes))
    except OSError as error:
        with suppress(OSError):
            folder.rmdir()
        raise SystemExit(
            f"no group with a memory limit can be made here ({error}); run it as root, with "
            "systemd: systemd-run --scope --property=Delegate=yes COMMAND"
        ) from error
    try:
        yield MemoryGroup(folder, files)
    finally:
        folder.rmdir()


def _own_group() -> tuple[Path, Files]:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return ROOT / "memory" / path.lstrip("/"), V1
        if not controllers and (ROOT / "cgroup.controllers").exists():
            return ROOT / path.lstrip("/"), V2
    raise SystemExit("this machine has no control groups for memory")
