"""Does with announcements and messages what Home Assistant does, by its documentation."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment
from jsonschema import Draft202012Validator

from support.paths import ROOT

SCHEMA = ROOT / "tests" / "data" / "home_assistant.schema.json"


def check(announcement: dict[str, Any]) -> None:
    """Fail unless Home Assistant would accept the announcement."""
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(announcement)


def rendered(component: dict[str, Any], payload: bytes) -> str:
    """Return a component's value after a message, by its Jinja template."""
    template = Environment(autoescape=False).from_string(component["value_template"])  # noqa: S701
    return template.render(value=payload.decode(), value_json=json.loads(payload))
