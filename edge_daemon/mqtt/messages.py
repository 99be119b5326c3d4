"""The topics and payloads of all messages that are published, and of commands.

docs/mqtt.md describes every topic.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from edge_daemon.core.types import UNCERTAIN, Command, rfc3339
from edge_daemon.events.log_reader import Entry

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
ON: Final = "ON"
OFF: Final = "OFF"
NO_FACE: Final = "no_face"
NO_LABEL: Final = UNCERTAIN
COMMANDS: Final = {
    "pause": "privacy.pause",
    "blur": "privacy.blur_faces",
    "interval": "detector.interval",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A payload for a topic; the broker acknowledges it if `qos` is 1."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False

    @property
    def packet_bytes(self) -> int:
        """The greatest size of the message's MQTT 5 PUBLISH packet."""
        return len(self.payload) + len(self.topic.encode()) + 10


class Topics:
    """The topics of one daemon, from `mqtt.topic`, the machine's name and the camera's."""

    def __init__(self, pattern: str, *, host: str, camera: str) -> None:
        names = {"{host}": _as_id(host.partition(".")[0]), "{camera}": _as_id(camera)}
        self.base = re.sub(r"\{host\}|\{camera\}", lambda found: names[found[0]], pattern)
        self.device = _as_id(self.base)  # the client's id, and the device's in Home Assistant
        self.availability = f"{self.base}/availability"
        self.event = f"{self.base}/event"
        self.faces = f"{self.base}/faces"
        self.state = f"{self.base}/state"
        self.snapshot = f"{self.base}/snapshot"

    def command(self, name: str) -> str:
        """Return the topic of one of COMMANDS."""
        return f"{self.base}/{name}/set"

    def command_name(self, topic: str) -> str:
        """Return which of COMMANDS has this topic; "" if none has."""
        return next((name for name in COMMANDS if topic == self.command(name)), "")


def availability(topics: Topics, payload: bytes) -> Message:
    """Return the message that announces the availability `payload`, ONLINE or OFFLINE."""
    return Message(topics.availability, payload, qos=1, retain=True)


def event(topics: Topics, entry: Entry, *, is_late: bool, is_redelivered: bool) -> Message:
    """Return the message of an event as it is in the log, with its id.

    `late` marks an event from before the connection, `redelivered` one that may have been delivered
    before.
    """
    marks = {"late": is_late, "redelivered": is_redelivered}
    marked = {name: True for name, is_set in marks.items() if is_set}
    return Message(topics.event, _json({"id": entry.id, **entry.event, **marked}), qos=1)


def faces(topics: Topics, values: Mapping[str, Any]) -> Message:
    """Return the message of the faces in a view, from the values of `View.as_dict`."""
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


def no_faces(topics: Topics) -> Message:
    """Return the message that replaces the retained faces when the daemon stops."""
    return faces(topics, {"time": rfc3339(datetime.now(UTC)), "faces": []})


def state(topics: Topics, values: Mapping[str, Any]) -> Message:
    """Return the message of the device's state, from the values of `/state`."""
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
    """Return the message of an event's picture; an empty one removes the retained picture."""
    return Message(topics.snapshot, jpeg, retain=True)


def command(name: str, payload: bytes) -> Command:
    """Parse a message to the command `name`. Raises ValueError with a sentence."""
    text = payload[:40].decode(errors="replace").strip()
    if name == "interval":
        if text == "auto":
            return Command(COMMANDS[name], text)
        if re.fullmatch("[0-9]+", text):
            return Command(COMMANDS[name], int(text))
        raise ValueError(f"{name} should be auto or a whole number, not {text!r}")
    if text.upper() not in {ON, OFF}:
        raise ValueError(f"{name} should be {ON} or {OFF}, not {text!r}")
    return Command(COMMANDS[name], text.upper() == ON)


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _as_id(text: str) -> str:
    """Return `text` as an id of letters, digits, hyphens and underscores, for Home Assistant.

    All letters outside ASCII become underscores. Names with such letters get a digest in addition,
    so that Küche and Köche stay different.
    """
    name = unicodedata.normalize("NFC", text)
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")
    if any(not letter.isascii() and unicodedata.category(letter)[0] in "LMN" for letter in name):
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]
        return f"{plain}-{digest}" if plain else digest
    return plain or "_"
