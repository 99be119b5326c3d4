"""What happened: the faces of successive views in, events out.

An event is one JSON object; docs/events.schema.json describes each type. As in Frigate's
new/update/end, a face and its expression each have a start and an end, and an expression may
change in between. "uncertain" is no expression: turning uncertain ends the one before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from edge_daemon.smoothing import UNCERTAIN
from edge_daemon.types import Face, Frame

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log: when, what, and the fields of its type."""

    at: datetime
    type: str
    fields: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "time": rfc3339(self.at), "type": self.type, **self.fields}

    def as_line(self) -> str:
        """The event as one line of JSON, its line feed included."""
        return json.dumps(self.as_dict(), separators=(",", ":"), ensure_ascii=False) + "\n"


def rfc3339(at: datetime) -> str:
    """UTC with milliseconds, as in 2026-01-31T12:00:00.250Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class _Seen:
    """A face as it was last reported."""

    face: Face
    since_s: float
    label: str = ""
    label_since_s: float = 0.0


class EventMaker:
    """Turns what is seen into events; holds which faces and expressions have been announced.

    `common` is what every event carries: camera, run, model.
    """

    def __init__(self, *, labels: Sequence[str], common: dict[str, Any]) -> None:
        self._labels = tuple(labels)
        self._common = common
        self._seen: dict[int, _Seen] = {}

    def note(self, kind: str, at: datetime, **fields: Any) -> Event:
        """An event that concerns no face: the daemon or the camera."""
        return Event(at, kind, {**self._common, **fields})

    def update(self, frame: Frame, faces: Sequence[Face]) -> list[Event]:
        """The events between the faces of the frame before and those of `frame`."""
        present = {face.id for face in faces}
        events = [
            event
            for id_ in list(self._seen)
            if id_ not in present
            for event in self._left(id_, frame)
        ]
        for face in faces:
            events += self._appeared(face, frame)
            events += self._expressed(face, frame)
        return events

    def _appeared(self, face: Face, frame: Frame) -> list[Event]:
        known = self._seen.get(face.id)
        if known is not None:
            known.face = face
            return []
        self._seen[face.id] = _Seen(face, frame.captured_s)
        return [self._of_face("face_start", face, frame)]

    def _expressed(self, face: Face, frame: Frame) -> list[Event]:
        seen = self._seen[face.id]
        label = "" if face.label == UNCERTAIN else face.label
        if label == seen.label:
            return []
        before, held_s = seen.label, frame.captured_s - seen.label_since_s
        seen.label, seen.label_since_s = label, frame.captured_s
        if not before:
            return [self._of_face("expression_start", face, frame, label=label)]
        if not label:
            return [self._of_face("expression_end", face, frame, held_s, label=before)]
        return [
            self._of_face("expression_change", face, frame, held_s, label=label, previous=before)
        ]

    def _left(self, id_: int, frame: Frame) -> list[Event]:
        seen = self._seen.pop(id_)
        events = []
        if seen.label:
            held_s = frame.captured_s - seen.label_since_s
            events.append(
                self._of_face("expression_end", seen.face, frame, held_s, label=seen.label)
            )
        stayed_s = frame.captured_s - seen.since_s
        return [*events, self._of_face("face_end", seen.face, frame, stayed_s)]

    def _of_face(
        self,
        kind: str,
        face: Face,
        frame: Frame,
        duration_s: float | None = None,
        **fields: Any,
    ) -> Event:
        height, width = frame.bgr.shape[:2]
        values = self._common | {"face": face.id} | fields
        if "label" in fields:
            named = dict(zip(self._labels, face.scores, strict=True))
            values["score"] = round(named[fields["label"]], 3)
            values["scores"] = {name: round(score, 3) for name, score in named.items()}
        values["box"] = [round(value) for value in face.box]
        values["frame_size"] = [width, height]
        if duration_s is not None:
            values["duration_s"] = round(duration_s, 3)
        return Event(frame.captured_at, kind, values)
