"""Reads regular files, and replaces files atomically."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_CHECKOUT = Path(__file__).resolve().parents[2]
# The folder that contains models/: a checkout, a release on a device, or the data of a wheel.
INSTALLATION: Final = (
    _CHECKOUT if (_CHECKOUT / "models").is_dir() else Path(sys.prefix, "share", "mien")
)
LOCK: Final = ".lock"  # ends the name of a lock file
PART: Final = ".part"  # ends the name of a file that is not complete yet


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` when the block ends without an exception.

    A reader of `path` sees the old content or all of the new, even after `kill -9`, and with
    `sync` even after a power cut. Until then the new file is `path` with PART appended; its
    permissions are `mode` less the umask. Raises OSError.
    """
    part = part_of(path)
    try:
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def replace_file(path: Path, content: bytes, *, mode: int = 0o666, sync: bool = True) -> None:
    """Make `content` the content of `path`, as `replacing` does. Raises OSError."""
    with replacing(path, mode=mode, sync=sync) as file:
        file.write(content)


def part_of(path: Path) -> Path:
    """Return the name of the file that `replacing` writes before it takes the place of `path`."""
    return path.with_name(f"{path.name}{PART}")


def read_file(path: Path, *, max_bytes: int) -> bytes:
    """Return the content of a regular file of at most `max_bytes`.

    A FIFO or a device, which could block or never end, is not read. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes", str(path))
    return content


def check_regular(*paths: Path | str) -> None:
    """Raise OSError unless all `paths` are regular files: opening a FIFO could block for ever."""
    for path in paths:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def no_passphrase() -> str:
    """Answer a key that asks for its passphrase; else OpenSSL would ask on the terminal."""
    raise OSError(errno.EINVAL, "the key has a passphrase: remove it with `openssl pkey`")


class LockTaken(Exception):
    """Another process holds the lock; `holder` names it."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class FileLock:
    """Keeps other processes from using `path` until this one ends.

    The lock is a file beside it, `path` with LOCK appended, that holds the process id.
    https://man7.org/linux/man-pages/man2/flock.2.html
    """

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises LockTaken, and OSError if the file cannot be written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.with_name(f"{path.name}{LOCK}")
        self._file = os.fdopen(os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640), "r+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with self._file:
                raise LockTaken(_described(self._file.read(20).strip())) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let other processes take the lock."""
        self._file.close()


def _described(pid: str) -> str:
    """Describe the process `pid` by its command line, where it can be read."""
    try:
        words = Path("/proc", str(int(pid)), "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except (OSError, ValueError):
        return f"process {pid}" if pid else "another process"
    return f"process {pid}, `{b' '.join(words).decode(errors='replace')}`"
