"""The typed schema of the configuration: validates plain values, and lists the mistakes in them.

`sections.py`, `records.py` and `network.py` define the keys; `file.py` reads the file.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from edge_daemon.config.network import ModelsConfig, MqttConfig, WebConfig, WebhookConfig
from edge_daemon.config.records import EventsConfig, HistoryConfig, SnapshotsConfig
from edge_daemon.config.sections import (
    PATH,
    CameraConfig,
    DetectorConfig,
    PrivacyConfig,
    Section,
    SmoothingConfig,
    StreamConfig,
    TrackerConfig,
    restart,
)
from edge_daemon.core.errors import UserError

# Values that never appear in a message, and the command that makes each.
SECRETS: Final = {"web.password": "hash-password", "web.token": "new-token"}


class _ShortRepr(reprlib.Repr):
    """Shortens the text of a value: YAML may nest without end, and numbers may be very long."""

    def repr_int(self, value: int, level: int) -> str:
        try:
            return super().repr_int(value, level)
        except ValueError:  # too many digits
            return f"a number of {value.bit_length()} bits"


SHORT: Final = _ShortRepr()
SHORT.maxlevel = SHORT.maxlist = SHORT.maxdict = SHORT.maxset = SHORT.maxtuple = 3


class Config(Section):
    """The whole configuration; input size, labels and crop are read from the model's file."""

    model: Annotated[str, Field(min_length=1)] = Field(
        "models/expression.tflite",
        description="The expression model; if the file is missing, the one shipped with Mien.",
        json_schema_extra=PATH,
    )
    runtime: Literal["auto", "litert", "tflite-runtime", "tensorflow"] = Field(
        "auto", description="The runtime of the models; auto uses the first that is installed."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="The form of log lines; text has the time, and color on a terminal.",
        json_schema_extra=restart("lines are formatted from the start"),
    )
    camera: CameraConfig = CameraConfig()
    detector: DetectorConfig = DetectorConfig()
    tracker: TrackerConfig = TrackerConfig()
    smoothing: SmoothingConfig = SmoothingConfig()
    events: EventsConfig = EventsConfig()
    history: HistoryConfig = HistoryConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    snapshots: SnapshotsConfig = SnapshotsConfig()
    stream: StreamConfig = StreamConfig()
    web: WebConfig = WebConfig()
    mqtt: MqttConfig = MqttConfig()
    models: ModelsConfig = ModelsConfig()
    webhooks: list[WebhookConfig] = Field(
        [], description="Programs that events are posted to; docs/webhooks.md has their keys."
    )


class Key(NamedTuple):
    """One setting, by its dotted name.

    `is_text` is whether its values are always text, `is_path` whether it names a file.
    `needs_restart` says why a reload cannot change it; "" if it can.
    """

    name: str
    is_text: bool
    is_path: bool
    needs_restart: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with the value at `path`; a `reason` of "" means that its key is unknown."""

    path: tuple[str, ...]
    reason: str


class InvalidConfig(UserError):
    """Values that do not fit the schema, with every mistake."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(f"{each.reason or each.path}." for each in mistakes))
        self.mistakes = mistakes


def validated(values: Mapping[str, object]) -> Config:
    """Turn a mapping of sections and keys into a Config. Raises InvalidConfig."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        mistakes = [_mistake(dict(each)) for each in error.errors()]
        # The members of a union fail one by one; the first stands for all.
        raise InvalidConfig(
            list({each.path: each for each in reversed(mistakes)}.values())[::-1]
        ) from None


def keys() -> Iterator[Key]:
    """List every key, in the order of the schema."""
    for name, field in Config.model_fields.items():
        if isinstance(field.default, Section):
            for inner, inner_field in type(field.default).model_fields.items():
                yield _key(f"{name}.{inner}", inner_field)
        else:
            yield _key(name, field)


def _key(name: str, field: FieldInfo) -> Key:
    marks = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return Key(
        name,
        is_text=field.annotation is str,
        is_path=bool(marks.get("is_path")),
        needs_restart=str(marks.get("needs_restart", "")),
    )


def changed(old: Config, new: Config) -> list[str]:
    """List the names of the keys whose values differ."""
    return [key.name for key in keys() if value_of(old, key.name) != value_of(new, key.name)]


def needs_restart(name: str) -> str:
    """Return why a reload cannot change the key `name`; "" if it can."""
    return next(key.needs_restart for key in keys() if key.name == name)


def reloadable(running: Config, wanted: Config) -> Config:
    """Return `wanted` with the values of `running` for the keys that need a restart."""
    fixed = filter(needs_restart, changed(running, wanted))
    return overridden(wanted, {name: value_of(running, name) for name in fixed})


def overridden(config: Config, changes: Mapping[str, object]) -> Config:
    """Return `config` with other values for the keys named in `changes`. Raises InvalidConfig."""
    values = config.model_dump()
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        (values[section] if section else values)[key] = value
    return validated(values)


def value_of(config: Config, name: str) -> object:
    """Return the value of the key with the dotted `name`."""
    value: object = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _mistake(error: dict[str, Any]) -> Mistake:
    """Describe one of pydantic's errors in terms of a configuration file."""
    loc = [str(part) for part in error["loc"]]
    # What follows the key is an index of a list, or the member of a union that was tried.
    known = Config.model_fields.get(loc[0])
    path = tuple(loc[:2] if known and isinstance(known.default, Section) else loc[:1])
    dotted = ".".join(path)
    if len(loc) > 2 and loc[1].isdecimal() and path == (loc[0],):  # a key of a section in a list
        dotted = f"{loc[0]}[{loc[1]}].{loc[2]}"
        if error["type"] == "extra_forbidden":
            return Mistake(path, f"{dotted} is an unknown key")
    if error["type"] in {"extra_forbidden", "invalid_key"}:
        return Mistake(path, "")
    if error["type"] == "value_error":  # from a section's own validator
        return Mistake(path, str(error["ctx"]["error"]))
    if dotted in SECRETS:
        return Mistake(path, f"{dotted} should be what `mien {SECRETS[dotted]}` prints")
    reason = str(error["msg"]).removeprefix("Input ")
    if error["type"] == "model_type":
        reason = "should be a section of keys"
    return Mistake(path, f"{dotted} is {SHORT.repr(error['input'])}, but {reason}")
