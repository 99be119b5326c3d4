"""What the doctor finds: a verdict, a sentence, and the command that mends what is not well."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

# "warning": the daemon works, but worse than it could, or not for long. "error": it does not work.
Verdict = Literal["ok", "warning", "error"]

# As of monitoring plugins: https://www.monitoring-plugins.org/doc/guidelines.html
EXIT_CODES: Final[dict[Verdict, int]] = {"ok": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `remedy` is a command line, "" where all is well.

    What takes a hand (a plug, a fan) has the command that shows whether it has helped.
    """

    check: str
    verdict: Verdict
    sentence: str
    remedy: str = ""


def ok(check: str, sentence: str) -> Finding:
    return Finding(check, "ok", sentence)


def warning(check: str, sentence: str, remedy: str) -> Finding:
    return Finding(check, "warning", sentence, remedy)


def error(check: str, sentence: str, remedy: str) -> Finding:
    return Finding(check, "error", sentence, remedy)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The verdict on all of them together."""
    return max((each.verdict for each in findings), key=EXIT_CODES.__getitem__, default="ok")


def edit(config_file: Path, setting: str) -> str:
    """The command that opens the configuration, with the line to be written there."""
    return f"{sudo_for(config_file)}nano {shlex.quote(str(config_file))}  # {setting}"


def pip_install(*requirements: str) -> str:
    """The command that installs packages in this environment."""
    return _pip("install", *requirements)


def pip_uninstall(*names: str) -> str:
    """The command that removes packages from this environment."""
    return _pip("uninstall", "-y", *names)


def sudo_for(path: Path) -> str:
    """What a command begins with that writes there."""
    return "" if os.access(path, os.W_OK) else "sudo "


def _pip(*words: str) -> str:
    return sudo_for(Path(sys.prefix)) + shlex.join([sys.executable, "-m", "pip", *words])
