"""Where settings are written down: `config.yaml`, `MIEN_…` variables and `--set` in, `Config` out.

The later of these wins. Every mistake is named in a sentence, with its place and the nearest key
there is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from edge_daemon.config.schema import SECRETS, Config, Mistake, Mistakes, keys, validated
from edge_daemon.core.errors import UserError

PREFIX = "MIEN_"
NOTHING: Mapping[str, str] = {}
TOP_KEYS = frozenset(key.name for key in keys() if "." not in key.name)  # all others are sections


class ConfigError(UserError):
    """The configuration cannot be used; a line for each mistake names its place and what to do."""


@dataclass(frozen=True, slots=True)
class _Override:
    """A value from outside the file; `origin` is how the user wrote it."""

    path: tuple[str, ...]
    value: object
    origin: str


def load_config(
    path: Path, words: Sequence[str] = (), environment: Mapping[str, str] = NOTHING
) -> Config:
    """Read `path`, then the `MIEN_…` variables of `environment`, then `words`.

    A variable is `MIEN_SECTION_KEY`, a word `section.key=value`, each with a YAML value. Raises
    ConfigError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}.") from error
    return parse_config(text, str(path), words, environment)


def parse_config(
    text: str, name: str, words: Sequence[str] = (), environment: Mapping[str, str] = NOTHING
) -> Config:
    """`text` as a Config; `name` stands for it in messages. Raises ConfigError."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{name}{line}: not valid YAML: {problem}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected a mapping of settings, as in the sample config.yaml.")
    _refuse_repeated(root, name)
    values = {key: value for key, value in values.items() if value is not None or key in TOP_KEYS}
    overrides = [*_from_environment(environment), *map(_from_word, words)]
    for override in overrides:
        _apply(values, override)
    try:
        return validated(values)
    except Mistakes as found:
        origins = {override.path: override.origin for override in overrides}
        lines = [_sentence(each, name, root, origins) for each in found.mistakes]
        raise ConfigError("\n".join(lines)) from None


def variable_of(key: str) -> str:
    """The environment variable that sets `key`: MIEN_CAMERA_SOURCE for camera.source."""
    return PREFIX + key.replace(".", "_").upper()


def _from_environment(environment: Mapping[str, str]) -> Iterator[_Override]:
    """The settings among the variables; MIEN_ and a section's name make one a setting."""
    known = {variable_of(key.name): key.name for key in keys()}
    sections = {f"{variable_of(key.partition('.')[0])}_" for key in known.values() if "." in key}
    for variable in sorted(environment):
        if variable in known:
            yield _override(known[variable], environment[variable], variable)
        elif variable.startswith(tuple(sections)):
            close = difflib.get_close_matches(variable, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see docs/configuration.md."
            raise ConfigError(f"{variable}: the environment sets an unknown key; {hint}")


def _from_word(word: str) -> _Override:
    key, separator, raw = word.partition("=")
    if not separator:
        raise ConfigError(f"--set {word}: expected section.key=value.")
    name = key.strip()
    return _override(name, raw, f"--set {name if name in SECRETS else word}")


def _override(name: str, raw: str, origin: str) -> _Override:
    """Text stays as it was written; anything else is read as YAML."""
    path = tuple(name.split("."))
    if any(key.name == name and key.is_text for key in keys()):
        return _Override(path, raw, origin)
    try:
        return _Override(path, yaml.safe_load(raw), origin)
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: {raw!r} is not a YAML value.") from error


def _apply(values: dict[str, object], override: _Override) -> None:
    *sections, last = override.path
    for section in sections:
        inner = values.get(section)
        if inner is None:
            inner = values[section] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"{override.origin}: {section!r} is not a section.")
        values = inner
    values[last] = override.value


def _sentence(
    mistake: Mistake,
    name: str,
    root: yaml.Node | None,
    origins: Mapping[tuple[str, ...], str],
) -> str:
    """Where the mistake is, what it is, and the nearest valid key if its key is unknown."""
    line = _line_of(root, mistake.path)
    where = origins.get(mistake.path) or (f"{name}, line {line}" if line else name)
    dotted = ".".join(mistake.path)
    if mistake.reason:
        return f"{where}: {mistake.reason}."
    near = _nearest(dotted)
    hint = f"did you mean {near!r}?" if near else "see docs/configuration.md for those there are."
    return f"{where}: unknown key {dotted!r}; {hint}"


def _nearest(dotted: str) -> str | None:
    """The key, or section, most like `dotted`: of its very name, in its section, then anywhere."""
    names = [key.name for key in keys()]
    names += {name.partition(".")[0] for name in names if "." in name}
    section, _, last = dotted.rpartition(".")
    if namesakes := [name for name in names if name.rpartition(".")[2] == last]:
        return namesakes[0]
    siblings = {n.rpartition(".")[2]: n for n in names if n.rpartition(".")[0] == section}
    if close := difflib.get_close_matches(last, siblings, n=1):
        return siblings[close[0]]
    return next(iter(difflib.get_close_matches(dotted, names, n=1)), None)


def _line_of(node: yaml.Node | None, path: Sequence[str]) -> int | None:
    """The line, from 1, of the key that `path` leads to; None where the file has it not."""
    line = None
    for key in path:
        if not isinstance(node, yaml.MappingNode):
            return line
        entry = next(((k, v) for k, v in node.value if k.value == key), None)
        if entry is None:
            return None
        line, node = entry[0].start_mark.line + 1, entry[1]
    return line


def _refuse_repeated(node: yaml.Node | None, name: str) -> None:
    """YAML readers silently keep the last of two equal keys; here the second is a mistake."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in seen:
            raise ConfigError(
                f"{name}, line {line}: {key.value!r} is there twice, first in line "
                f"{seen[key.value]}; keep one."
            )
        seen[key.value] = line
        _refuse_repeated(value, name)
