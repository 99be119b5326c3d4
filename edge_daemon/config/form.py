"""Describes the settings that can be changed from the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from edge_daemon.config.schema import Config, keys, value_of

# The page can change how faces are found, shown and reported. It cannot change what concerns the
# device and its network: addresses, files, secrets, and what is kept on the disk and for how long.
_SECTIONS: Final = ("detector", "tracker", "smoothing", "privacy", "stream")
_KEYS: Final = (
    "camera.name", "camera.width", "camera.height", "camera.fps", "camera.controls",
    "camera.rotate", "camera.mirror", "events.dwell_s", "events.cooldown_s", "events.update_s",
    "history.time_zone", "history.least_faces",
)  # fmt: skip
WORDS: Final = {
    "boolean": "on or off",
    "integer": "whole number",
    "number": "number",
    "string": "text",
}


@cache
def editable_keys() -> tuple[str, ...]:
    """Return the names of the keys that can be changed from the page, in the schema's order."""
    return tuple(
        key.name
        for key in keys()
        if (key.name.partition(".")[0] in _SECTIONS or key.name in _KEYS)
        and not (key.is_path or key.needs_restart)
    )


def settings_form(config: Config) -> Iterator[dict[str, Any]]:
    """Yield the fields of a form with the values of `config`, as values for JSON.

    `value`, `default` and `choices` are strings, as they are written in the file.
    """
    default = Config()
    for name in editable_keys():
        section, _, key = name.partition(".")
        schema = _schema()[section]
        field = schema["properties"][key]
        yield {
            "key": name,
            "section": schema["description"],
            "description": field["description"],
            "accepts": accepted(field),
            "kind": _kind(field),
            "choices": [_text(each) for each in field.get("enum", ())],
            "minimum": field.get("minimum", field.get("exclusiveMinimum")),
            "maximum": field.get("maximum"),
            "default": _text(value_of(default, name)),
            "value": _text(value_of(config, name)),
        }


def accepted(schema: dict[str, Any]) -> str:
    """Describe in words the values that a key with this JSON schema accepts."""
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(accepted(each) for each in schema["anyOf"])
    if schema["type"] == "object":
        return f"for each name: {accepted(schema['additionalProperties'])}"
    if schema["type"] == "array":
        items = schema["items"]
        return f"a list of {'sections' if '$ref' in items else accepted(items)}"
    return WORDS[schema["type"]] + _range(schema)


def _range(schema: dict[str, Any]) -> str:
    low, above, high = (schema.get(k) for k in ("minimum", "exclusiveMinimum", "maximum"))
    if above is not None:
        return f" above {above:g}, to {high:g}"
    if high is not None:
        return f" {low:g} to {high:g}"
    return f" from {low:g}" if low is not None else ""


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "choice"
    kind = schema.get("type", "")
    return kind if kind in {"boolean", "integer", "number"} else "text"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@cache
def _schema() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each section."""
    schema = Config.model_json_schema()
    sections = {
        name: each["$ref"].rpartition("/")[2]
        for name, each in schema["properties"].items()
        if "$ref" in each
    }
    return {name: schema["$defs"][definition] for name, definition in sections.items()}
