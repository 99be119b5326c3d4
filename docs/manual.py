"""Generates the man page and the shell completions in edge_daemon/share from the parser.

`python docs/manual.py` writes them; a test checks that they are up to date.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shtab
from argparse_manpage.manpage import Manpage

from edge_daemon import __version__
from edge_daemon.commands import COMPLETIONS, SHARE, command_parser

SECTIONS = {
    "examples": r"""
.nf
mien run \-\-set camera.source=demo
mien classify party.jpg clip.mp4 holiday/
sudo mien doctor
.fi
""",
    "files": r"""
.TP
.I /etc/mien/config.yaml
the configuration of an installed service; run, doctor and check\-config use it
.TP
.I /etc/mien/NAME.yaml
the configuration of a further camera
.TP
.I /var/log/mien/events.jsonl
its events, a JSON object on each line
.TP
.I /var/lib/mien
its snapshots and fetched models
""",
    "environment": r"""
Each setting has a variable, MIEN_SECTION_KEY: MIEN_CAMERA_SOURCE is camera.source.
""",
    "exit status": r"""
0 after success, 1 after a failure, 2 if the user must fix something, such as a wrong option or
setting. doctor exits with 1 for a warning and 2 for an error.
""",
    "see also": r"""
.BR systemctl (1),
.BR journalctl (1)
""",
}


def man_page() -> str:
    """Return mien(1) in roff."""
    page = Manpage(command_parser(), format="single-commands-section")
    page.description = "facial expressions from a camera"
    page.source, page.manual, page.date = f"Mien {__version__}", "Mien", ""
    for heading, content in SECTIONS.items():
        page.add_section(heading, ">", content.strip("\n"))
    return str(page)


def completion(shell: str) -> str:
    """Return the completion for one shell; options and arguments that are paths complete files."""
    parser = command_parser()
    for action in _actions(parser):
        if action.type is Path or action.dest == "paths":
            action.complete = shtab.FILE
    return shtab.complete(parser, shell) + "\n"


def files() -> dict[Path, str]:
    """Return the content of each file."""
    return {SHARE / "man/mien.1": man_page()} | {
        SHARE / path: completion(shell) for shell, path in COMPLETIONS.items()
    }


def _actions(parser: argparse.ArgumentParser) -> Iterator[Any]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
