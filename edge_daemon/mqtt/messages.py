"""What is said over MQTT: views, events and state in, messages out; and commands the other way.

docs/mqtt.md describes every topic.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge_daemon.core.types import Command
from edge_daemon.events.history import Entry

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
ON: Final = "ON"
OFF: Final = "OFF"
NO_FACE: Final = "no_face"
NO_LABEL: Final = "uncertain"
COMMANDS: Final = {
    "pause": "privacy.pause",
    "blur": "privacy.blur_faces",
    "interval": "detector.interval",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A payload for a topic; one with `qos` 1 is acknowledged by the broker."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Topics:
    """The topics of one daemon, from `mqtt.topic`, the machine's name and the camera's."""

    def __init__(self, pattern: str, *, host: str, camera: str) -> None:
        names = {"{host}": _plain(host.partition(".")[0]), "{camera}": _plain(camera)}
        self.base = re.sub(r"\{host\}|\{camera\}", lambda found: names[found[0]], pattern)
        self.device = _plain(self.base)  # the same as one word, for Home Assistant
        self.availability = f"{self.base}/availability"
        self.event = f"{self.base}/event"
        self.faces = f"{self.base}/faces"
        self.state = f"{self.base}/state"
        self.snapshot = f"{self.base}/snapshot"

    def command(self, name: str) -> str:
        """The topic of one of COMMANDS."""
        return f"{self.base}/{name}/set"

    def name_of(self, topic: str) -> str:
        """Which of COMMANDS a topic is of; "" if of none."""
        return next((name for name in COMMANDS if topic == self.command(name)), "")


def availability(topics: Topics, payload: bytes) -> Message:
    return Message(topics.availability, payload, qos=1, retain=True)


def event(topics: Topics, entry: Entry, *, is_late: bool, is_redelivered: bool) -> Message:
    """An event as in the log, with its id.

    `late` marks one that happened before the connection was there, `redelivered` one that may have
    been delivered before.
    """
    marks = {"late": is_late, "redelivered": is_redelivered}
    marked = {name: True for name, is_so in marks.items() if is_so}
    return Message(topics.event, _json({"id": entry.id, **entry.event, **marked}), qos=1)


def faces(topics: Topics, values: Mapping[str, Any]) -> Message:
    """Who is there, from what `StateReport.faces` says."""
    found = values["faces"]
    largest = max(found, key=lambda face: face["box"][2] * face["box"][3], default=None)
    labels = Counter(face["label"] or NO_LABEL for face in found)
    summary = {
        "time": values["time"],
        "count": len(found),
        "expression": (largest["label"] or NO_LABEL) if largest else NO_FACE,
        "labels": dict(sorted(labels.items())),
        "faces": found,
    }
    return Message(topics.faces, _json(summary), retain=True)


def state(topics: Topics, values: Mapping[str, Any]) -> Message:
    """How the device is, from what `StateReport.state` says."""
    controls, board = values["controls"], values["board"]
    summary = {
        "time": values["time"],
        "version": values["version"],
        "model": values["model"]["name"],
        "camera": values["camera"]["state"],
        "notice": values["camera"]["notice"],
        "fps": values["fps"],
        "latency_ms": values["latency_ms"],
        "temperature_c": max(board["temperatures_c"].values(), default=None),
        "limits": board["limits"],
        "viewers": values["viewers"],
        "uptime_s": values["uptime_s"],
        "event_log": values["event_log"]["trouble"],
        "pause": ON if controls["pause"] else OFF,
        "blur": ON if controls["blur"] else OFF,
        "interval": str(controls["interval"]),
    }
    return Message(topics.state, _json(summary), retain=True)


def snapshot(topics: Topics, jpeg: bytes) -> Message:
    """The picture of an event; an empty one takes back the last."""
    return Message(topics.snapshot, jpeg, retain=True)


def command(name: str, payload: bytes) -> Command:
    """What the command `name` of COMMANDS asks for. Raises ValueError, in a sentence."""
    text = payload[:40].decode(errors="replace").strip()
    if name == "interval":
        if text.isdecimal() or text == "auto":
            return Command(COMMANDS[name], int(text) if text.isdecimal() else text)
        raise ValueError(f"{name} should be auto or a whole number, not {text!r}")
    if text.upper() not in {ON, OFF}:
        raise ValueError(f"{name} should be {ON} or {OFF}, not {text!r}")
    return Command(COMMANDS[name], text.upper() == ON)


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _plain(text: str) -> str:
    """Letters, digits, hyphens and underscores, as Home Assistant wants in ids."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "_"
