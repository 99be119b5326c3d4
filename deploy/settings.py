"""Configuration files as text, comments and all: values put in, keys compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# "  host: 127.0.0.1   # 0.0.0.0 for the network", or a section's name alone.
LINE = re.compile(r"(?P<indent> *)(?P<name>\w+):(?P<gap> *)(?P<value>[^#]*?)(?P<comment> *(#.*)?)")


class Setting(NamedTuple):
    """A key of the file: its dotted name, its value as text and its whole line."""

    key: str
    value: str
    line: str


def settings(text: str) -> Iterator[Setting]:
    """The keys in a file written as the sample is, one a line."""
    for key, found, line in _lines(text):
        if key and found and found["value"]:
            yield Setting(key, found["value"], line.strip())


def with_values(text: str, values: Mapping[str, str]) -> str:
    """`text` with other values for some of its keys; KeyError for one that it does not have."""
    missing = dict(values)
    lines = []
    for key, found, line in _lines(text):
        if found and key in missing:
            head = f"{found['indent']}{found['name']}: {missing.pop(key)}"
            comment = found["comment"].strip()
            lines.append(f"{head}  {comment}" if comment else head)
        else:
            lines.append(line)
    if missing:
        raise KeyError(", ".join(missing))
    return "\n".join(lines) + "\n"


def new_settings(before: str, after: str) -> list[Setting]:
    """The keys that only the sample `after` has."""
    known = {setting.key for setting in settings(before)}
    return [setting for setting in settings(after) if setting.key not in known]


def _lines(text: str) -> Iterator[tuple[str, re.Match[str] | None, str]]:
    """Each line with its key, "" for none."""
    section = ""
    for line in text.splitlines():
        found = LINE.fullmatch(line)
        if not found:
            yield "", None, line
        elif found["indent"]:
            yield f"{section}.{found['name']}", found, line
        else:
            section = found["name"]
            yield section, found, line
