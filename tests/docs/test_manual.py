"""The man page and the shell completions, which `make docs` makes from the parser."""

from __future__ import annotations

import argparse
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

from edge_daemon.commands import COMPLETIONS, SHARE, command_parser


def test_they_are_up_to_date() -> None:
    """Otherwise run `make docs`; lines are wrapped differently by some versions of Python."""
    files: dict[Path, str] = runpy.run_path(str(ROOT / "docs/manual.py"))["files"]()
    assert set(files) == {path for path in SHARE.rglob("*") if path.is_file()}
    for path, text in files.items():
        assert path.read_text().split() == text.split(), path


def test_every_option_says_what_it_does() -> None:
    parser = command_parser()
    (commands,) = (
        each.choices for each in parser._actions if isinstance(each, argparse._SubParsersAction)
    )
    for name, command in commands.items():
        for action in command._actions:
            assert action.help, f"mien {name} {action.option_strings or action.dest}"


@pytest.mark.skipif(shutil.which("man") is None, reason="NOT TESTED: man is not installed")
def test_the_man_page_is_read_without_warnings() -> None:
    words = ["man", "--warnings", "-E", "UTF-8", "-l", str(SHARE / "man/mien.1")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert not done.stderr
    assert "mien - facial expressions from a camera" in done.stdout


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_the_command_prints_the_completion(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge_daemon", "completion", shell],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (SHARE / COMPLETIONS[shell]).read_text()
    if program := shutil.which(shell):
        subprocess.run([program, "-n", str(SHARE / COMPLETIONS[shell])], check=True)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("mien cl", "classify"), ("mien run --o", "--open"), ("mien completion z", "zsh")],
)
def test_bash_completes_commands_options_and_values(typed: str, expected: str) -> None:
    script = (
        f"source '{SHARE / COMPLETIONS['bash']}'; COMP_WORDS=({typed});"
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _shtab_mien; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected]
