"""The schema in, docs/configuration.md out: `python docs/configuration.py > docs/configuration.md`.

A test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from edge_daemon.config.file import variable_of
from edge_daemon.config.schema import Config, needs_restart

INTRODUCTION = """\
# Configuration

Generated from the schema in `edge_daemon/config/schema.py` by `make docs`.

A setting comes from its default, from the file given with `--config` (`config.yaml`), from a
variable of the environment, or from `--set section.key=value`; the later of these wins. Values are
YAML. Unknown keys and values that do not fit are named with their line:

    python -m edge_daemon check-config --config config.yaml

`SIGHUP` (`systemctl reload edge-daemon`) reads the file again and changes between two
frames what can be changed so; the log names what needs a restart, marked *restart* below. If
anything is wrong with the file, or with the model it names, the log says so and all stays as it
was. A model file that is replaced is loaded without being asked, once it has not changed for a
second.
"""

WORDS = {"boolean": "on or off", "integer": "whole number", "number": "number", "string": "text"}


def page() -> str:
    """The whole page, in Markdown."""
    schema = Config.model_json_schema()
    top = {name: each for name, each in schema["properties"].items() if "$ref" not in each}
    parts = [INTRODUCTION, *_section("Top level", "Keys of no section.", "", top)]
    for name, each in schema["properties"].items():
        if name not in top:
            section = schema["$defs"][each["$ref"].rpartition("/")[2]]
            parts += _section(f"`{name}`", section["description"], name, section["properties"])
    return "\n".join(parts)


def _section(title: str, what: str, name: str, properties: dict[str, Any]) -> Iterator[str]:
    yield f"## {title}\n\n{what}\n"
    for key, each in properties.items():
        dotted = f"{name}.{key}" if name else key
        restart = "; *restart*" if needs_restart(dotted) else ""
        yield (
            f"- **`{key}`** = `{json.dumps(each['default'])}` ({_accepts(each)}{restart}; "
            f"`{variable_of(dotted)}`)  \n  {each['description']}"
        )
    yield ""


def _accepts(schema: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " \\| ".join(schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_accepts(each) for each in schema["anyOf"])
    if schema["type"] == "object":
        return f"a {_accepts(schema['additionalProperties'])} for each name"
    if schema["type"] == "array":
        return f"a list of {_accepts(schema['items'])}"
    return WORDS[schema["type"]] + _range(schema)


def _range(schema: dict[str, Any]) -> str:
    low, above, high = (schema.get(k) for k in ("minimum", "exclusiveMinimum", "maximum"))
    if above is not None:
        return f" above {above:g}, to {high:g}"
    if high is not None:
        return f" {low:g} to {high:g}"
    return f" from {low:g}" if low is not None else ""


if __name__ == "__main__":
    print(page(), end="")
