"""Prints errors on the terminal, and formats log lines."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

PROGRAM: Final = "mien"
IN_THE_JOURNAL: Final = "%(levelname)s %(message)s"  # the journal adds the time
ELSEWHERE: Final = "%(asctime)s %(levelname)s %(message)s"
# ANSI codes: green, yellow, red, white on red.
COLORS: Final = {
    logging.INFO: "32",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "37;41",
}


def complain(text: str) -> None:
    """Print each line of `text` on standard error, after the program's name."""
    for line in text.splitlines():
        print(f"{PROGRAM}: {line}", file=sys.stderr)


def log_formatter(stream: TextIO, form: Literal["text", "json"]) -> logging.Formatter:
    """Return the formatter of log lines: JSON, or text with the time, colored on a terminal.

    In systemd's journal, text has neither time nor color. NO_COLOR turns colors off.
    https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#$JOURNAL_STREAM
    """
    if form == "json":
        return JsonFormatter()
    if _is_journal(stream):
        return logging.Formatter(IN_THE_JOURNAL)
    plain = not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return logging.Formatter(ELSEWHERE) if plain else ColorFormatter(ELSEWHERE)


class JsonFormatter(logging.Formatter):
    """Formats each record as a JSON object with time, level, logger, message and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time.replace("+00:00", "Z"), "level": record.levelname}
        line |= {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class ColorFormatter(logging.Formatter):
    """Formats text with the level in color, by ANSI escape sequences."""

    def format(self, record: logging.LogRecord) -> str:
        color = COLORS.get(record.levelno, "0")
        word = record.levelname
        return super().format(record).replace(f" {word} ", f" \x1b[{color}m{word}\x1b[0m ", 1)


def _is_journal(stream: TextIO) -> bool:
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    with suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        return (str(status.st_dev), str(status.st_ino)) == (device, inode)
    return False
