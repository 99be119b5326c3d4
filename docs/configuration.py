"""Generates docs/configuration.md: `python docs/configuration.py > docs/configuration.md`.

A test checks that the page is up to date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from edge_daemon.config.file import variable_of
from edge_daemon.config.form import accepted
from edge_daemon.config.schema import Config, needs_restart

INTRODUCTION = """\
# Configuration

Generated from the schema in `edge_daemon/config/schema.py` by `make docs`.

A setting comes from its default, from the file given with `--config` (else `config.yaml` in the
working directory, if there is one), from an environment variable, or from `--set
section.key=value`; later ones win. Values are YAML; numbers such as `010` and `1:30`, which YAML
reads as 8 and 90, are refused. Relative paths in the file are relative to its folder; relative
paths given otherwise are relative to the working directory. `check-config` reports unknown keys and
wrong values with their line, and checks what the start checks (the model, the detector, the source
and certificates):

    mien check-config --config config.yaml

`SIGHUP` (`systemctl reload edge-daemon`) reads the file again and applies it between two frames.
Keys marked *restart* below keep their values until the daemon is restarted; the log names those
that have changed. If anything is wrong with the file, or with a file it names, the log says so and
nothing changes. A model file that is replaced is loaded by itself once it has not changed for a
second.
"""


def page() -> str:
    """Return the page in Markdown."""
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
        reason = needs_restart(dotted)
        accepts = accepted(each).replace("|", "\\|")
        mark, why = ("; *restart*", f" It needs a restart: {reason}.") if reason else ("", "")
        yield (
            f"- **`{key}`** = `{json.dumps(each['default'])}` ({accepts}{mark}; "
            f"`{variable_of(dotted)}`)  \n  {each['description']}{why}"
        )
    yield ""


if __name__ == "__main__":
    print(page(), end="")
