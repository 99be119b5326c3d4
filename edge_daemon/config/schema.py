"""The settings as a typed schema: plain values in, a `Config` or the list of its `Mistakes` out.

`config_file.py` reads them from where users write them; `config_sections.py` and
`config_network.py` have the keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from edge_daemon.config.network import ModelsConfig, MqttConfig, WebConfig
from edge_daemon.config.sections import (
    CameraConfig,
    DetectorConfig,
    EventsConfig,
    PrivacyConfig,
    Section,
    SmoothingConfig,
    SnapshotsConfig,
    StreamConfig,
    TrackerConfig,
)
from edge_daemon.core.errors import UserError

# What a reload leaves as it is: a section or a key. All else changes between two frames.
NEEDS_RESTART = (
    "camera",
    "web",
    "mqtt",
    "models",
    "events.path",
    "events.ram_dir",
    "snapshots.path",
)

# What is never repeated in a message, with the command that makes it.
SECRETS = {"web.password": "hash-password", "web.token": "new-token"}


class Config(Section):
    """All that can be set; what the model knows (size, labels, crop) is read from its file."""

    model: Annotated[str, Field(min_length=1)] = Field(
        "models/expression.tflite", description="The expression model."
    )
    runtime: Literal["auto", "litert", "tflite-runtime", "tensorflow"] = Field(
        "auto", description="The interpreter; auto takes the first of these that is installed."
    )
    camera: CameraConfig = CameraConfig()
    detector: DetectorConfig = DetectorConfig()
    tracker: TrackerConfig = TrackerConfig()
    smoothing: SmoothingConfig = SmoothingConfig()
    events: EventsConfig = EventsConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    snapshots: SnapshotsConfig = SnapshotsConfig()
    stream: StreamConfig = StreamConfig()
    web: WebConfig = WebConfig()
    mqtt: MqttConfig = MqttConfig()
    models: ModelsConfig = ModelsConfig()


class Key(NamedTuple):
    """One setting: its dotted name, and whether whatever is given for it is text."""

    name: str
    is_text: bool


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with the value that `path` leads to; with `reason` "" its key is unknown."""

    path: tuple[str, ...]
    reason: str


class Mistakes(UserError):
    """All that is wrong with the values."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(f"{each.reason}." for each in mistakes))
        self.mistakes = mistakes


def validated(values: Mapping[str, object]) -> Config:
    """`values`, a mapping of sections and keys, as a Config. Raises Mistakes."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        mistakes = [_mistake(dict(each)) for each in error.errors()]
        # A union's members complain one by one; the first stands for all.
        raise Mistakes(
            list({each.path: each for each in reversed(mistakes)}.values())[::-1]
        ) from None


def keys() -> Iterator[Key]:
    """Every key there is, in the order of the schema."""
    for name, field in Config.model_fields.items():
        if not isinstance(field.default, Section):
            yield Key(name, field.annotation is str)
            continue
        for inner, inner_field in type(field.default).model_fields.items():
            yield Key(f"{name}.{inner}", inner_field.annotation is str)


def changed(old: Config, new: Config) -> list[str]:
    """The names of the keys whose values differ."""
    return [key.name for key in keys() if value_of(old, key.name) != value_of(new, key.name)]


def needs_restart(name: str) -> bool:
    """Whether the key `name` has its effect only from the next start on."""
    return any(name == fixed or name.startswith(f"{fixed}.") for fixed in NEEDS_RESTART)


def reloaded(running: Config, wanted: Config) -> Config:
    """`wanted`, but for the keys that need a restart: they stay as they are in `running`."""
    fixed = filter(needs_restart, changed(running, wanted))
    return overridden(wanted, {name: value_of(running, name) for name in fixed})


def overridden(config: Config, changes: Mapping[str, object]) -> Config:
    """`config` with other values for the keys with dotted names in `changes`. Raises Mistakes."""
    values = config.model_dump()
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        (values[section] if section else values)[key] = value
    return validated(values)


def value_of(config: Config, name: str) -> object:
    """The value of the key with the dotted `name`."""
    value: object = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _mistake(error: dict[str, Any]) -> Mistake:
    """pydantic's account of a mistake in the terms of a settings file."""
    loc = [str(part) for part in error["loc"]]
    # What follows the key is the place in a list, or the member of a union that was tried.
    known = Config.model_fields.get(loc[0])
    path = tuple(loc[:2] if known and isinstance(known.default, Section) else loc[:1])
    dotted = ".".join(path)
    if error["type"] == "extra_forbidden":
        return Mistake(path, "")
    if error["type"] == "value_error":  # of a whole section, in its own words
        return Mistake(path, str(error["ctx"]["error"]))
    if dotted in SECRETS:
        command = f"`python -m edge_daemon {SECRETS[dotted]}`"
        return Mistake(path, f"{dotted} should be what {command} prints")
    reason = str(error["msg"]).removeprefix("Input ")
    if error["type"] == "model_type":
        reason = "should be a section of keys"
    return Mistake(path, f"{dotted} is {error['input']!r}, but {reason}")
