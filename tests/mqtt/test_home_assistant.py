"""Compares the announcement to Home Assistant with its documented form."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from support import home_assistant as by_its_documentation
from support.paths import ROOT

from edge_daemon.events.events import Event
from edge_daemon.events.log_reader import Entry
from edge_daemon.mqtt import home_assistant
from edge_daemon.mqtt import messages as mqtt_messages
from edge_daemon.mqtt.messages import Topics

TOPICS = Topics("mien/{host}/{camera}", host="pi.home.lan", camera="Front door ☃")
LABELS = ("happy", "sad")


def announced(
    *, has_commands: bool = True, has_snapshots: bool = True, has_thermometer: bool = True
) -> dict[str, Any]:
    message = home_assistant.discovery_message(
        "homeassistant",
        TOPICS,
        name="Front door ☃",
        labels=LABELS,
        has_commands=has_commands,
        has_snapshots=has_snapshots,
        has_thermometer=has_thermometer,
    )
    assert message.retain
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", message.topic)
    return dict(json.loads(message.payload))


@pytest.mark.parametrize("has_commands", [True, False])
@pytest.mark.parametrize("has_snapshots", [True, False])
@pytest.mark.parametrize("has_thermometer", [True, False])
def test_it_has_the_documented_form(
    has_commands: bool, has_snapshots: bool, has_thermometer: bool
) -> None:
    payload = announced(
        has_commands=has_commands, has_snapshots=has_snapshots, has_thermometer=has_thermometer
    )
    by_its_documentation.check(payload)
    components = payload["components"]
    ids = [c["unique_id"] for c in components.values() if "unique_id" in c]
    assert len(set(ids)) == len(ids)
    assert ("topic" in components["camera"]) == has_snapshots
    assert ("command_topic" in components["pause"]) == has_commands
    assert ("state_topic" in components["temperature"]) == has_thermometer


def test_names_become_topics_and_ids() -> None:
    assert TOPICS.base == "mien/pi/Front_door"
    assert TOPICS.device == "mien_pi_Front_door"
    assert TOPICS.command_name("mien/pi/Front_door/pause/set") == "pause"
    assert TOPICS.command_name("mien/pi/Front_door/other/set") == ""


def test_it_knows_every_type_of_event_that_has_to_do_with_faces_or_the_camera() -> None:
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    types = set(schema["properties"]["type"]["enum"])
    assert set(home_assistant.EVENT_TYPES) == types - {
        "daemon_start", "daemon_alive", "daemon_stop", "clock_jump", "pause_start", "pause_end",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "is_late", "expected"),
    [
        ("expression_start", False, "expression_start"),
        ("expression_start", True, ""),
        ("daemon_start", False, ""),
    ],
)
def test_its_event_entity_is_told_of_what_happens_now(
    kind: str, is_late: bool, expected: str
) -> None:
    event = Event(datetime.now(UTC), kind, {"face": 1, "label": "<happy> & 'so'"})
    message = mqtt_messages.event(
        TOPICS, Entry("x/0", event.as_dict()), is_late=is_late, is_redelivered=False
    )
    component = announced()["components"]["events"]
    value = by_its_documentation.rendered(component, message.payload)
    fired = json.loads(value) if value else {"event_type": ""}
    assert fired["event_type"] == expected
    assert not value or fired["label"] == "<happy> & 'so'"
