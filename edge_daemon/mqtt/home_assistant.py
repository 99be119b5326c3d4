"""Announces the device and its entities to Home Assistant.

MQTT discovery in the device form: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from edge_daemon import __version__
from edge_daemon.mqtt.messages import NO_FACE, NO_LABEL, OFF, ON, Message, Topics

BIRTH: Final = b"online"
EVENT_TYPES: Final = (
    "face_start", "face_update", "face_end", "expression_start", "expression_change",
    "expression_end", "camera_lost", "camera_restored",
)  # fmt: skip
# An event entity fires when a message arrives, even if the event is old. Late events are therefore
# dropped, so that yesterday's visitor is not announced today. Unknown types would be errors in Home
# Assistant's log, and a missing field a warning.
EVENT_TEMPLATE: Final = (
    "{% if not value_json.late | default(false) and value_json.type in "
    + json.dumps(EVENT_TYPES)
    + " %}"
    "{{ dict(value_json, event_type=value_json.type) | tojson }}{% endif %}"
)
# Home Assistant's recorder stores the attributes at each change, so boxes and times are left out.
ATTRIBUTES_TEMPLATE: Final = "{{ dict(count=value_json.count, labels=value_json.labels) | tojson }}"
INTERVALS: Final = ("auto", *map(str, range(1, 61)))


def birth_topic(prefix: str) -> str:
    """Return the topic on which Home Assistant announces its start."""
    return f"{prefix}/status"


def discovery_message(
    prefix: str,
    topics: Topics,
    *,
    name: str,
    labels: Sequence[str],
    has_commands: bool,
    has_snapshots: bool,
    has_thermometer: bool,
) -> Message:
    """Return the message that announces the device and its entities, and removes unused ones."""
    components = {**_readings(topics, labels), "events": _events(topics)}
    components["camera"] = _camera(topics) if has_snapshots else {"platform": "camera"}
    if not has_thermometer:
        components["temperature"] = {"platform": "sensor"}
    for key, control in _controls(topics).items():
        components[key] = control if has_commands else {"platform": control["platform"]}
    for key, component in components.items():
        if len(component) > 1:
            component["unique_id"] = f"{topics.device}_{key}"
    payload = {
        "device": {
            "identifiers": [topics.device],
            "name": name,
            "manufacturer": "Mien",
            "model": "Facial expression camera",
            "sw_version": __version__,
        },
        "origin": {"name": "Mien", "sw_version": __version__},
        "availability_topic": topics.availability,
        "components": components,
    }
    topic = f"{prefix}/device/{topics.device}/config"
    return Message(topic, json.dumps(payload, separators=(",", ":")).encode(), qos=1, retain=True)


def _readings(topics: Topics, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {
        "expression": {
            "platform": "sensor",
            "name": "Expression",
            "icon": "mdi:emoticon-outline",
            "device_class": "enum",
            "options": [*labels, NO_LABEL, NO_FACE],
            "state_topic": topics.faces,
            "value_template": "{{ value_json.expression }}",
            "json_attributes_topic": topics.faces,
            "json_attributes_template": ATTRIBUTES_TEMPLATE,
        },
        "faces": {
            "platform": "sensor",
            "name": "Faces",
            "icon": "mdi:account-multiple",
            "state_class": "measurement",
            "state_topic": topics.faces,
            "value_template": "{{ value_json.count }}",
        },
        "camera_problem": _problem(topics, "Camera", "value_json.camera == 'lost'"),
        "event_log_problem": _problem(topics, "Event log", "value_json.event_log"),
        "board_problem": _problem(topics, "Board", "value_json.limits"),
        "frame_rate": _diagnostic(topics, "Frame rate", "fps", "fps"),
        "latency": _diagnostic(topics, "Latency", "latency_ms", "ms", "duration"),
        "temperature": _diagnostic(topics, "Temperature", "temperature_c", "°C", "temperature"),
    }


def _problem(topics: Topics, name: str, condition: str) -> dict[str, Any]:
    return {
        "platform": "binary_sensor",
        "name": name,
        "device_class": "problem",
        "entity_category": "diagnostic",
        "state_topic": topics.state,
        "value_template": f"{{{{ '{ON}' if {condition} else '{OFF}' }}}}",
    }


def _diagnostic(
    topics: Topics, name: str, value: str, unit: str, device_class: str | None = None
) -> dict[str, Any]:
    return {
        "platform": "sensor",
        "name": name,
        "entity_category": "diagnostic",
        "state_class": "measurement",
        "device_class": device_class,
        "unit_of_measurement": unit,
        "state_topic": topics.state,
        "value_template": f"{{{{ value_json.{value} }}}}",
    }


def _events(topics: Topics) -> dict[str, Any]:
    return {
        "platform": "event",
        "name": "Event",
        "icon": "mdi:face-recognition",
        "event_types": list(EVENT_TYPES),
        "state_topic": topics.event,
        "value_template": EVENT_TEMPLATE,
        "qos": 1,
    }


def _camera(topics: Topics) -> dict[str, Any]:
    return {"platform": "camera", "name": "Last event", "topic": topics.snapshot}


def _controls(topics: Topics) -> dict[str, dict[str, Any]]:
    controls: dict[str, dict[str, Any]] = {
        "pause": {"platform": "switch", "name": "Pause", "icon": "mdi:pause"},
        "blur": {"platform": "switch", "name": "Blur faces", "icon": "mdi:blur"},
        "interval": {
            "platform": "select",
            "name": "Search interval in frames",
            "icon": "mdi:speedometer",
            "options": list(INTERVALS),
        },
    }
    for key, control in controls.items():
        control |= {
            "entity_category": "config",
            "state_topic": topics.state,
            "value_template": f"{{{{ value_json.{key} }}}}",
            "command_topic": topics.command(key),
            "qos": 1,
        }
    return controls
