"""Reads the configuration: defaults, then a file, `MIEN_…` variables and `--set` options.

Later sources win. Each mistake is reported in one sentence, with its place and, for an unknown key,
the nearest valid one.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_daemon.config.schema import (
    SECRETS,
    Config,
    InvalidConfig,
    Key,
    Mistake,
    keys,
    overridden,
    validated,
)
from edge_daemon.config.yaml_document import NotYaml, YamlDocument, yaml_value
from edge_daemon.core.errors import UserError
from edge_daemon.core.files import INSTALLATION, read_file

PREFIX: Final = "MIEN_"
DEFAULT_NAME: Final = "config.yaml"
MAX_BYTES: Final = 1_000_000
NO_VARIABLES: Final[Mapping[str, str]] = {}
TOP_KEYS = frozenset(key.name for key in keys() if "." not in key.name)  # all others are sections


# A camera's address up to its host may contain a password; so may a shortened one.
_ADDRESS_LOGIN = re.compile(r"(\w:/{1,2})(?:.*(?=@)|\S*?(?=\.\.\.))")


class ConfigError(UserError):
    """The configuration cannot be used; each line names a mistake, its place and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(_ADDRESS_LOGIN.sub(r"\1…", message))


@dataclass(frozen=True, slots=True)
class _Override:
    """A value from outside the file; `origin` is how the user wrote it."""

    path: tuple[str, ...]
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """The file, the `--set` options and the environment that `load_config` reads."""

    path: Path | None
    words: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def load(self) -> Config:
        """Read the configuration. Raises ConfigError."""
        return load_config(self.path, self.words, self.environment)

    def parse(self, text: str) -> Config:
        """Return what `load` would if the file held `text`. Raises ConfigError."""
        path = self.path or Path(DEFAULT_NAME)
        folder = path.absolute().parent
        return parse_config(text, str(path), self.words, self.environment, folder=folder)

    def origin(self, key: str) -> str:
        """Return the variable or option that sets `key` whatever the file says; "" if none does."""
        option = any(word.partition("=")[0].strip() == key for word in self.words)
        if option:
            return f"--set {key}"
        return variable_of(key) if variable_of(key) in self.environment else ""


def load_config(
    path: Path | None, words: Sequence[str] = (), environment: Mapping[str, str] = NO_VARIABLES
) -> Config:
    """Read the file `path`, if any, then the `MIEN_…` variables of `environment`, then `words`.

    A variable is `MIEN_SECTION_KEY` and a word `section.key=value`, each with a YAML value.
    Relative paths in the file are relative to its folder. Raises ConfigError.
    """
    if path is None:
        config = parse_config("", "the defaults", words, environment)
    else:
        folder = path.absolute().parent
        config = parse_config(_read(path), str(path), words, environment, folder=folder)
    model = _model_file(config.model, Path())
    return config if model == config.model else overridden(config, {"model": model})


def parse_config(
    text: str,
    name: str,
    words: Sequence[str] = (),
    environment: Mapping[str, str] = NO_VARIABLES,
    *,
    folder: Path | None = None,
) -> Config:
    """Turn `text` into a Config; `name` stands for it in messages. Raises ConfigError.

    Relative paths in `text` are resolved against `folder`.
    """
    try:
        document = YamlDocument(text, name)
    except NotYaml as error:
        raise ConfigError(str(error)) from error
    given = document.values.items()
    values = {key: value for key, value in given if value is not None or key in TOP_KEYS}
    if folder is not None and folder != Path.cwd():
        _resolve_paths(values, folder)
    overrides = [*_from_environment(environment), *map(_from_word, words)]
    for override in overrides:
        _apply(values, override)
    try:
        return validated(values)
    except InvalidConfig as found:
        origins = {override.path: override.origin for override in overrides}
        lines = [_sentence(each, document, origins) for each in found.mistakes]
        raise ConfigError("\n".join(lines)) from None


def _read(path: Path) -> str:
    try:
        return decoded_file(read_file(path, max_bytes=MAX_BYTES), path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error


def decoded_file(content: bytes, path: Path) -> str:
    """Return the text in the file `path`. Raises ConfigError."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: it is not UTF-8 text.") from error


def _resolve_paths(values: dict[Any, object], folder: Path) -> None:
    """Make the relative paths among `values` relative to the working directory, in place."""
    for key in keys():
        section, _, name = key.name.rpartition(".")
        where = values.get(section) if section else values
        if key.is_path and isinstance(where, dict) and _is_relative_path(key, where.get(name)):
            value = str(where[name])
            where[name] = _model_file(value, folder) if name == "model" else str(folder / value)


def _model_file(name: str, folder: Path) -> str:
    """Return the path of the model `name` in `folder`; the shipped one if there is none."""
    shipped = INSTALLATION / name
    if not (folder / name).exists() and shipped.is_file():
        return str(shipped)
    return str(folder / name)


def _is_relative_path(key: Key, value: object) -> bool:
    """Return whether `value` is a path relative to the file, and not a keyword or an address."""
    if not isinstance(value, str) or not value or value == "-" or value.startswith("~"):
        return False
    if key.name == "camera.source" and (
        value in {"auto", "demo"} or value.isdecimal() or _is_address(value) or _is_picamera(value)
    ):
        return False
    return not Path(value).is_absolute()


def _is_address(source: str) -> bool:
    """Return whether this is a camera's address, even a malformed one: it may have a password."""
    return "://" in source or re.match(r"\s*(rtsps?|https?):", source, re.IGNORECASE) is not None


def _is_picamera(source: str) -> bool:
    name, _, number = source.partition(":")
    return name == "picamera" and (number.isdecimal() or source == name)


def variable_of(key: str) -> str:
    """Return the environment variable that sets `key`: MIEN_CAMERA_SOURCE for camera.source."""
    return PREFIX + key.replace(".", "_").upper()


def _misspelled(variable: str, known: Iterable[str]) -> str | None:
    """Return the known variable that `variable` is very close to; None if it means another."""
    return next(iter(difflib.get_close_matches(variable, known, n=1, cutoff=0.85)), None)


def _from_environment(environment: Mapping[str, str]) -> Iterator[_Override]:
    """List the settings among the variables: MIEN_KEY and MIEN_SECTION_KEY."""
    known = {variable_of(key.name): key.name for key in keys()}
    sections = {f"{variable_of(key.partition('.')[0])}_" for key in known.values() if "." in key}
    for variable in sorted(environment):
        if variable in known:
            yield _override(known[variable], environment[variable], variable)
        elif variable.startswith(tuple(sections)):
            close = difflib.get_close_matches(variable, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see docs/configuration.md."
            raise ConfigError(f"{variable}: the environment sets an unknown key; {hint}")
        elif variable.startswith(PREFIX) and (meant := _misspelled(variable, known)):
            raise ConfigError(
                f"{variable}: the environment sets an unknown key; did you mean {meant}?"
            )


def _from_word(word: str) -> _Override:
    key, separator, raw = word.partition("=")
    if not separator:
        raise ConfigError(f"--set {word}: expected section.key=value.")
    name = key.strip()
    is_secret = name in SECRETS or (name.endswith(".host") and "@" in raw)
    return _override(name, raw, f"--set {name if is_secret else word}")


def _override(name: str, raw: str, origin: str) -> _Override:
    return _Override(tuple(name.split(".")), typed_value(name, raw, origin), origin)


def typed_value(name: str, raw: str, origin: str) -> object:
    """Parse `raw` as YAML, except for keys whose values are always text.

    `origin` names the option or variable in error messages. Raises ConfigError.
    """
    if any(key.name == name and key.is_text for key in keys()):
        return raw
    try:
        return yaml_value(raw, origin)
    except NotYaml as error:
        raise ConfigError(str(error)) from error


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
    document: YamlDocument,
    origins: Mapping[tuple[str, ...], str],
) -> str:
    """Describe a mistake and its place; for an unknown key, also the nearest valid one."""
    where = origins.get(mistake.path) or document.place(mistake.path)
    dotted = textwrap.shorten(".".join(mistake.path), 100, placeholder="…")
    if mistake.reason:
        return f"{where}: {mistake.reason}."
    near = _nearest(dotted)
    hint = f"did you mean {near!r}?" if near else "docs/configuration.md lists all keys."
    return f"{where}: unknown key {dotted!r}; {hint}"


def _nearest(dotted: str) -> str | None:
    """Return a key with the same last name, else a similar one in its section, else anywhere."""
    names = [key.name for key in keys()]
    names += {name.partition(".")[0] for name in names if "." in name}
    section, _, last = dotted.rpartition(".")
    if namesakes := [name for name in names if name.rpartition(".")[2] == last]:
        return namesakes[0]
    siblings = {n.rpartition(".")[2]: n for n in names if n.rpartition(".")[0] == section}
    if close := difflib.get_close_matches(last, siblings, n=1):
        return siblings[close[0]]
    return next(iter(difflib.get_close_matches(dotted, names, n=1)), None)
