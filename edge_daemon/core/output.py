"""What commands and the daemon print for people: errors, and the form of log lines."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Final, TextIO

PROGRAM: Final = "mien"
IN_THE_JOURNAL: Final = "%(levelname)s %(message)s"  # which adds the time itself
ELSEWHERE: Final = "%(asctime)s %(levelname)s %(message)s"


def complain(text: str) -> None:
    """Print each line of `text` on standard error, after the program's name."""
    for line in text.splitlines():
        print(f"{PROGRAM}: {line}", file=sys.stderr)


def log_format(stream: TextIO) -> str:
    """Return the format of log lines: with the time unless `stream` is systemd's journal.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#$JOURNAL_STREAM
    """
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    with suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        if (str(status.st_dev), str(status.st_ino)) == (device, inode):
            return IN_THE_JOURNAL
    return ELSEWHERE
