"""`config.yaml` as a typed schema: YAML text in, `Config` or one sentence per mistake out."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_daemon.credentials import PASSWORD_FORM, TOKEN_FORM

Fraction = Annotated[float, Field(ge=0, le=1)]

# What is never repeated in a message, with the command that makes it.
SECRETS = {"web.password": "hash-password", "web.token": "new-token"}


class ConfigError(ValueError):
    """The configuration cannot be used; the message names file, line, key and what is expected."""


class Section(BaseModel):
    """A mapping whose keys are all known and whose values have the type they say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Camera(Section):
    """Where pictures come from."""

    name: Annotated[str, Field(min_length=1)] = Field(
        "camera", description="The camera's name in events and on the page."
    )
    source: str | Annotated[int, Field(ge=0)] = Field(
        "auto",
        description=(
            "auto (the first camera that delivers, else the demo), demo, a device (0, "
            "/dev/video0), picamera (picamera:1 is the second), a video file, a directory of "
            "images, or an rtsp:// or http:// URL."
        ),
    )
    width: Annotated[int, Field(ge=16, le=7680)] = Field(
        640, description="Picture width asked of a camera device, in pixels."
    )
    height: Annotated[int, Field(ge=16, le=4320)] = Field(
        480, description="Picture height asked of a camera device, in pixels."
    )
    fps: Annotated[float, Field(gt=0, le=240)] = Field(
        15.0, description="Frames a second asked of a camera device, and the demo's rate."
    )
    pixel_format: Annotated[str, Field(pattern="^(auto|[A-Z0-9]{4})$")] = Field(
        "auto",
        description=(
            "Asked of a camera device, as its driver names it (MJPG, YUYV); auto is MJPG where "
            "fps cannot be had without it."
        ),
    )
    timeout_s: Annotated[float, Field(ge=0.5, le=600)] = Field(
        5.0, description="Without a new frame for this long the camera is lost and opened again."
    )
    check_frozen: bool = Field(
        True,
        description=(
            "A camera whose picture stays the same to the last bit for timeout_s is lost too; "
            "turn it off for one that shows a still picture."
        ),
    )
    loop: bool = Field(True, description="Start a file or directory again at its end.")
    lossless: bool = Field(
        False, description="Let a file wait for the pipeline, so that no frame is skipped."
    )


class Detector(Section):
    """How faces are found."""

    backend: Literal["auto", "blazeface", "mediapipe", "haar"] = Field(
        "auto",
        description="auto is blazeface where its file is at hand, else haar.",
    )
    range: Literal["full", "short"] = Field(
        "full",
        description=(
            "BlazeFace's network: full finds faces from some 50 pixels at 640×480, short from 90, "
            "at less than half the cost."
        ),
    )
    min_score: Fraction = Field(0.5, description="Detections scored lower are dropped.")
    interval: Literal["auto"] | Annotated[int, Field(ge=1, le=60)] = Field(
        "auto",
        description=(
            "Faces are looked for in every so many frames, at least twice within "
            "tracker.max_age_s; auto is 1, or as many as a slow board needs to keep the frame rate."
        ),
    )
    max_faces: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="At most this many faces are classified a frame, the largest first."
    )
    min_face_px: Annotated[int, Field(ge=0, le=4320)] = Field(
        24, description="Faces smaller than this are followed and shown, but not classified."
    )


class Tracker(Section):
    """How faces are followed from frame to frame."""

    max_age_s: Annotated[float, Field(gt=0, le=60)] = Field(
        1.0, description="A face not seen for this long has left."
    )


class Smoothing(Section):
    """How scores of single frames become a steady expression."""

    half_life_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.4, description="Age at which a frame's scores weigh half; 0 takes each frame as it is."
    )
    min_score: Fraction = Field(
        0.4, description="Below this smoothed score the expression is uncertain."
    )
    label_min_scores: dict[str, Fraction] = Field(
        {}, description="Another min_score for single labels, as in {disgust: 0.6, fear: 0.5}."
    )
    min_margin: Fraction = Field(
        0.1, description="A lead over the second class smaller than this is uncertain too."
    )
    hysteresis: Fraction = Field(
        0.1, description="Added to the score of the expression that holds before it is compared."
    )
    dwell_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.4, description="A new expression must last this long before it counts."
    )


class Events(Section):
    """The event log."""

    path: Annotated[str, Field(min_length=1)] = Field(
        "events.jsonl", description="The log file, one JSON object a line."
    )


class Stream(Section):
    """The annotated MJPEG stream."""

    quality: Annotated[int, Field(ge=1, le=100)] = Field(80, description="JPEG quality.")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Web(Section):
    """The page and its endpoints."""

    host: Annotated[str, Field(min_length=1)] = Field(
        "127.0.0.1",
        description="Address to listen on; others than 127.0.0.1 need a password or a token.",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8080, description="Port to listen on; 0 takes any free one."
    )
    max_viewers: Annotated[int, Field(ge=1, le=256)] = Field(
        32, description="Streams served at once; further viewers are told to come back."
    )
    auth: Literal["auto", "none"] = Field(
        "auto",
        description="none lets everybody watch who reaches the address; auto never does that.",
    )
    password: Annotated[str, Field(pattern=PASSWORD_FORM)] = Field(
        "", description="For people: what `python -m edge_daemon hash-password` prints."
    )
    token: Annotated[str, Field(pattern=TOKEN_FORM)] = Field(
        "", description="For programs: the hash that `python -m edge_daemon new-token` prints."
    )
    hosts: list[str] = Field(
        [], description="Names to be reached under, besides addresses and the machine's own name."
    )
    tls_certificate: str = Field("", description="PEM file of a certificate; https then.")
    tls_key: str = Field("", description="PEM file of its key.")

    @property
    def unguarded(self) -> bool:
        """Whether others on the network may watch without a password."""
        return not (self.password or self.token or _loopback(self.host))

    @model_validator(mode="after")
    def _guarded(self) -> Web:
        if self.auth == "none" and (self.password or self.token):
            raise ValueError("web.auth is none, but there is a password or a token; remove either.")
        if self.unguarded and self.auth != "none":
            raise ValueError(
                f"web.host: {self.host} lets the network watch; set web.password "
                "(`python -m edge_daemon hash-password`) or web.token (`… new-token`), "
                "or web.auth: none."
            )
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("web.tls_certificate and web.tls_key are needed together.")
        return self


class Config(Section):
    """All that can be set; what the model knows (size, labels, crop) is read from its file."""

    model: Annotated[str, Field(min_length=1)] = Field(
        "models/expression.tflite", description="The expression model."
    )
    runtime: Literal["auto", "litert", "tflite-runtime", "tensorflow"] = Field(
        "auto", description="The interpreter; auto takes the first of these that is installed."
    )
    camera: Camera = Camera()
    detector: Detector = Detector()
    tracker: Tracker = Tracker()
    smoothing: Smoothing = Smoothing()
    events: Events = Events()
    stream: Stream = Stream()
    web: Web = Web()


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read `path`; `overrides` are `section.key=value` with a YAML value, as on the command line.

    Raises ConfigError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}.") from error
    return parse_config(text, str(path), overrides)


def parse_config(text: str, name: str, overrides: Sequence[str] = ()) -> Config:
    """`text` as a Config; `name` stands for it in messages. Raises ConfigError."""
    try:
        values = yaml.safe_load(text) or {}
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{name}{line}: not valid YAML: {problem}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected a mapping of settings, as in the sample config.yaml.")
    for override in overrides:
        _apply(values, override)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, name, root)) from None


def _apply(values: dict[str, object], override: str) -> None:
    key, separator, raw = override.partition("=")
    if not separator:
        raise ConfigError(f"--set {override}: expected section.key=value.")
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {section!r} is not a section.")
        values = inner
    try:
        values[last] = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: {raw!r} is not a YAML value.") from error


def _explain(error: ValidationError, name: str, root: yaml.Node | None) -> str:
    """One sentence for the first mistake, with its place in the file and the nearest valid key."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    keys = _known_path(path)
    line = _line_of(root, keys)
    where = f"{name}, line {line}" if line else name
    dotted = ".".join(keys)
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(keys[-1], _fields_of(keys[:-1]), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see config.yaml for the keys there are."
        return f"{where}: unknown key {dotted!r}; {hint}"
    if first["type"] == "model_type":
        return f"{where}: {dotted} is {first['input']!r}, but should be a section of keys."
    if first["type"] == "value_error":
        return f"{where}: {first['ctx']['error']}"
    if dotted in SECRETS:
        return f"{where}: {dotted} should be what `python -m edge_daemon {SECRETS[dotted]}` prints."
    given = first["input"]
    reason = str(first["msg"]).removeprefix("Input ")
    return f"{where}: {dotted} is {given!r}, but {reason}."


def _known_path(path: list[str]) -> list[str]:
    """`path` without the names pydantic appends for the members of a union."""
    depth = (
        2 if path[0] in {n for n, f in Config.model_fields.items() if _section(f.default)} else 1
    )
    return path[:depth]


def _section(default: object) -> bool:
    return isinstance(default, Section)


def _fields_of(keys: list[str]) -> list[str]:
    model: type[BaseModel] = type(Config.model_fields[keys[0]].default) if keys else Config
    return list(model.model_fields)


def _line_of(node: yaml.Node | None, keys: list[str]) -> int | None:
    """The line, from 1, of the key that `keys` leads to; None where the file has it not."""
    line = None
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            return line
        entry = next(((k, v) for k, v in node.value if k.value == key), None)
        if entry is None:
            return None
        line, node = entry[0].start_mark.line + 1, entry[1]
    return line
