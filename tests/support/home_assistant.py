"""What Home Assistant makes of an announcement and of messages, by its documentation."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment
from jsonschema import Draft202012Validator

from support.paths import ROOT

SCHEMA = ROOT / "tests" / "data" / "home_assistant.schema.json"


def check(announcement: dict[str, Any]) -> None:
    """Fails unless Home Assistant would take the announcement."""
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(announcement)


def rendered(component: dict[str, Any], payload: bytes) -> str:
    """A component's value after a message. Its templates are Jinja's."""
    template = Environment(autoescape=False).from_string(component["value_template"])  # noqa: S701
    return template.render(value=payload.decode(), value_json=json.loads(payload))
