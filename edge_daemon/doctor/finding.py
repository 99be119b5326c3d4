"""A finding of the doctor: a verdict, a sentence, and the command that fixes the problem."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

# "warning": the daemon works, but poorly or not for long. "error": it does not work.
Verdict = Literal["ok", "warning", "error"]

# The exit codes of monitoring plugins: https://www.monitoring-plugins.org/doc/guidelines.html
EXIT_CODES: Final[dict[Verdict, int]] = {"ok": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check; `remedy` is a command line, "" if nothing is wrong.

    If the fix is not a command (a plug, a fan), `remedy` shows whether it has helped.
    """

    check: str
    verdict: Verdict
    sentence: str
    remedy: str = ""


def ok(check: str, sentence: str) -> Finding:
    """Make a finding without a problem."""
    return Finding(check, "ok", sentence)


def warning(check: str, sentence: str, remedy: str) -> Finding:
    """Make a finding of a problem with which the daemon still runs."""
    return Finding(check, "warning", sentence, remedy)


def error(check: str, sentence: str, remedy: str) -> Finding:
    """Make a finding of a problem that keeps the daemon from working."""
    return Finding(check, "error", sentence, remedy)


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict of `findings`."""
    return max((each.verdict for each in findings), key=EXIT_CODES.__getitem__, default="ok")


def edit(config_file: Path, setting: str) -> str:
    """Return the command that opens the configuration, with the line to write there."""
    return f"{sudo_for(config_file)}nano {shlex.quote(str(config_file))}  # {setting}"


def pip_install(*requirements: str) -> str:
    """Return the command that installs packages in this environment."""
    return _pip("install", *requirements)


def pip_uninstall(*names: str) -> str:
    """Return the command that removes packages from this environment."""
    return _pip("uninstall", "-y", *names)


def sudo_for(path: Path) -> str:
    """Return "sudo " if a command needs it to write to `path`, else ""."""
    return "" if os.access(path, os.W_OK) else "sudo "


def _pip(*words: str) -> str:
    return sudo_for(Path(sys.prefix)) + shlex.join([sys.executable, "-m", "pip", *words])
