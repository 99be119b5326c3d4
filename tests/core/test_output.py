"""Log lines: in color on a terminal, plain elsewhere, JSON on request."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import pytest

from edge_daemon.core.output import log_formatter


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    """The inner end of a pseudoterminal."""
    outer, inner = os.openpty()
    with os.fdopen(outer, "rb"), os.fdopen(inner, "w") as stream:
        yield stream


def record(
    level: int = logging.WARNING, text: str = "lost %s", *arguments: object
) -> logging.LogRecord:
    return logging.LogRecord("edge_daemon.capture", level, "x.py", 1, text, arguments, None)


def test_a_terminal_shows_the_level_in_color(
    terminal: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    line = log_formatter(terminal, "text").format(record(logging.WARNING, "a WARNING %s", "b"))
    assert line.endswith(" \x1b[33mWARNING\x1b[0m a WARNING b")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_color_gets_plain_lines(
    terminal: TextIO, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert "\x1b" not in log_formatter(terminal, "text").format(record(logging.ERROR, "x"))


def test_a_file_gets_the_time_and_the_journal_does_not(
    terminal: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = log_formatter(io.StringIO(), "text").format(record(logging.INFO, "x"))
    assert line.endswith(" INFO x")
    status = os.fstat(terminal.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    assert log_formatter(terminal, "text").format(record(logging.INFO, "x")) == "INFO x"


def test_json_lines_have_every_part() -> None:
    try:
        int("bad\nthing")
    except ValueError:
        failed = record(logging.ERROR, "a %s", '"b"\n')
        failed.exc_info = sys.exc_info()
    line = log_formatter(io.StringIO(), "json").format(failed)
    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["level"], parsed["logger"], parsed["message"]) == (
        *("ERROR", "edge_daemon.capture"),
        'a "b"\n',
    )
    assert parsed["time"].endswith("Z")
    assert "ValueError: invalid literal" in parsed["traceback"]
