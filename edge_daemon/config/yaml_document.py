"""Reads YAML, with the place of each value and each mistake.

YAML 1.1 reads 010 as 8 and 1:30 as 90, which hardly anybody means; such numbers are refused.
https://yaml.org/type/int.html
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from typing import Any, Final

import yaml

from edge_daemon.core.errors import UserError, reason_of

# In the indentation or after a key, where copied texts have it.
_NO_BREAK_SPACE: Final = re.compile(r"^([\w.-]+:| )*\xa0", re.MULTILINE)


class NotYaml(UserError):
    """A text is not the YAML that is expected; the message names the place."""


class YamlDocument:
    """A mapping of settings; `name` stands for it in messages. Raises NotYaml."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        if found := _NO_BREAK_SPACE.search(text):
            line = text.count("\n", 0, found.end()) + 1
            raise NotYaml(
                f"{name}, line {line}: there is a no-break space, which YAML takes for a letter; "
                "type a space instead."
            )
        try:
            self._root = yaml.compose(text, Loader=_Loader)
            values = _load(text) or {}
        except yaml.YAMLError as error:
            raise NotYaml(_not_yaml(error, text, name)) from error
        except Exception as error:  # nested too deeply, or a number with too many digits
            raise NotYaml(f"{name}: cannot be read as YAML: {reason_of(error)}.") from error
        if not isinstance(values, dict):
            raise NotYaml(f"{name}: expected a mapping of settings, as in the sample config.yaml.")
        self.values: dict[Any, object] = values
        self._refuse_repeated(self._root)

    def place(self, path: Sequence[str]) -> str:
        """Return the name and line of the key at `path`; only the name if it is not there."""
        line = _line_of(self._root, path)
        return f"{self._name}, line {line}" if line else self._name

    def _refuse_repeated(self, node: yaml.Node | None, levels: int = 3) -> None:
        """Refuse a repeated key; YAML readers silently keep the last."""
        if not isinstance(node, yaml.MappingNode) or not levels:
            return
        seen: dict[object, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise NotYaml(
                    f"{self._name}, line {line}: {key.value!r} is there twice, first in line "
                    f"{seen[key.value]}; keep one."
                )
            seen[key.value] = line
            self._refuse_repeated(value, levels - 1)


def yaml_value(raw: str, origin: str) -> object:
    """Return the value of `raw`; `origin` names it in messages. Raises NotYaml."""
    try:
        return _load(raw)
    except _AmbiguousNumber as error:
        raise NotYaml(f"{origin}: {error.problem}.") from error
    except Exception as error:  # not YAML, nested too deeply, or a number with too many digits
        raise NotYaml(f"{origin}: {reprlib.repr(raw)} is not a YAML value.") from error


def is_plain_text(value: str) -> bool:
    """Return whether YAML reads `value`, written without quotes, as the same text."""
    try:
        return bool(_load(f"[{value}]") == [value] and _load(value) == value)
    except yaml.YAMLError:
        return False


class _AmbiguousNumber(yaml.MarkedYAMLError):
    """A number that may mean another; `problem` says which."""


class _Loader(yaml.SafeLoader):
    """Raises _AmbiguousNumber for numbers in octal or to the base 60, unlike hexadecimal ones."""

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Return the value of an integer or a float."""
        is_whole = node.tag.endswith(":int")
        number = self.construct_yaml_int(node) if is_whole else self.construct_yaml_float(node)
        digits = node.value.replace("_", "")
        if ":" in digits or (digits.lstrip("+-").isdecimal() and int(digits) != number):
            problem = f"YAML reads {node.value:.20} as {number}; write a number without leading "
            problem += "zeros and colons, or quotes around a text"
            raise _AmbiguousNumber(problem=problem, problem_mark=node.start_mark)
        return number


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def _load(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a SafeLoader


def _not_yaml(error: yaml.YAMLError, text: str, name: str) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{name}: not valid YAML: {reason_of(error)}."
    place = f"{name}, line {mark.line + 1}"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation:
        return f"{place}: indented with a tab; use spaces, as YAML does not allow tabs there."
    problem = getattr(error, "problem", None) or "not YAML"
    if isinstance(error, _AmbiguousNumber):
        return f"{place}: {problem}."
    return f"{place}: not valid YAML: {problem}."


def _line_of(node: yaml.Node | None, path: Sequence[str]) -> int | None:
    """Return the line, from 1, of the key at `path`; None if the file does not have it."""
    line = None
    for key in path:
        if not isinstance(node, yaml.MappingNode):
            return line
        entry = next(((k, v) for k, v in node.value if k.value == key), None)
        if entry is None:
            return None
        line, node = entry[0].start_mark.line + 1, entry[1]
    return line
