"""Reads and edits configuration files as text, so that comments stay."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# "  host: 127.0.0.1   # 0.0.0.0 for the network", or only a section's name.
LINE = re.compile(
    r"(?P<indent> *)(?P<name>\w+):(?P<gap> *)"
    r"""(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?!#).*?)(?P<comment> +#.*| *)"""
)
RESERVED = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
PLAIN = re.compile(r"[\w./][\w./ -]*")  # text that YAML reads as it is


class Setting(NamedTuple):
    """A key of the file: its dotted name, its value as written and its whole line."""

    key: str
    value: str
    line: str


def settings(text: str) -> Iterator[Setting]:
    """List the keys of a file that has one key per line, as the sample has."""
    for key, found, line in _lines(text):
        if key and found and found["value"]:
            yield Setting(key, found["value"], line.strip())


def with_values(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with new values, as written in YAML. Raises KeyError for an unknown key."""
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


def quoted(text: str) -> str:
    """Write `text` as a YAML string, with quotes only where they are needed."""
    plain = PLAIN.fullmatch(text) and text.strip() == text and not text[:1].isdigit()
    return text if plain and text.lower() not in RESERVED else json.dumps(text, ensure_ascii=False)


def new_settings(before: str, after: str) -> list[Setting]:
    """List the keys that the sample `after` has and `before` does not."""
    known = {setting.key for setting in settings(before)}
    return [setting for setting in settings(after) if setting.key not in known]


def _lines(text: str) -> Iterator[tuple[str, re.Match[str] | None, str]]:
    """Yield each line with its key, "" for none."""
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
