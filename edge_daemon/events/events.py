"""What happened: the faces of successive views in, events out.

An event is one JSON object; docs/events.schema.json describes each type. As in Frigate's
new/update/end, a face and its expression each have a start and an end; in between an expression
may change, and a face is reported now and then. "uncertain" is no expression: turning uncertain
ends the one before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from edge_daemon.core.types import UNCERTAIN, Face, Frame, rfc3339

SCHEMA = 1
TYPES: Final = (
    "daemon_start", "daemon_stop",
    "camera_lost", "camera_restored",
    "face_start", "face_update", "face_end",
    "expression_start", "expression_change", "expression_end",
)  # fmt: skip


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


@dataclass(slots=True)
class _Seen:
    """A face as it was last reported; times are those of frames, in seconds."""

    face: Face
    since_s: float
    is_announced: bool = False
    reported_s: float = -math.inf  # by any event
    label: str = ""
    label_since_s: float = -math.inf


class EventMaker:
    """Turns what is seen into events; holds which faces and expressions have been announced.

    `common` is what every event carries: camera, run, model. A face counts once it was there for
    `dwell_s`. Its expression is reported at most once in `cooldown_s`, however often it changes,
    and a face of which nothing was reported for `update_s` is reported as it is (0: never).
    """

    def __init__(
        self,
        *,
        labels: Sequence[str],
        common: dict[str, Any],
        dwell_s: float = 0.0,
        cooldown_s: float = 0.0,
        update_s: float = 0.0,
    ) -> None:
        self._labels = tuple(labels)
        self._common = common
        self._dwell_s, self._cooldown_s = dwell_s, cooldown_s
        self._update_s = update_s or math.inf
        self._seen: dict[int, _Seen] = {}

    def note(self, kind: str, at: datetime, **fields: Any) -> Event:
        """An event that concerns no face: the daemon or the camera."""
        return Event(at, kind, {**self._common, **fields})

    def update(self, frame: Frame, faces: Sequence[Face]) -> list[Event]:
        """The events between the faces of the frame before and those of `frame`."""
        present = {face.id for face in faces}
        gone = [seen for id_, seen in self._seen.items() if id_ not in present]
        events = [event for seen in gone for event in self._left(seen, frame)]
        for face in faces:
            seen = self._seen.setdefault(face.id, _Seen(face, frame.captured_s))
            seen.face = face
            events += self._present(seen, frame)
        return events

    def adopt(self, old: EventMaker, frame: Frame) -> list[Event]:
        """Go on from where `old` stands.

        Where its labels are others, the expressions it announced end, and these events are
        returned.
        """
        self._seen = old._seen
        if old._labels == self._labels:
            return []
        held = [seen for seen in self._seen.values() if seen.label]
        return [old._expression(seen, "", frame) for seen in held]

    def _present(self, seen: _Seen, frame: Frame) -> list[Event]:
        """What there is to say of a face that is there."""
        now_s, face = frame.captured_s, seen.face
        events = []
        if not seen.is_announced and now_s - seen.since_s >= self._dwell_s:
            seen.is_announced, seen.reported_s = True, now_s
            events.append(self._of_face("face_start", face, frame))
        label = "" if face.label == UNCERTAIN else face.label
        is_due = now_s - seen.label_since_s >= self._cooldown_s
        if seen.is_announced and label != seen.label and is_due:
            events.append(self._expression(seen, label, frame))
        if seen.is_announced and now_s - seen.reported_s >= self._update_s:
            seen.reported_s = now_s
            fields = {"label": seen.label} if seen.label else {}
            stayed_s = now_s - seen.since_s
            events.append(self._of_face("face_update", face, frame, stayed_s, **fields))
        return events

    def _expression(self, seen: _Seen, label: str, frame: Frame) -> Event:
        """The face goes over from its announced label to `label`; "" is none."""
        before, held_s = seen.label, frame.captured_s - seen.label_since_s
        seen.label, seen.label_since_s = label, frame.captured_s
        seen.reported_s = frame.captured_s
        if not before:
            return self._of_face("expression_start", seen.face, frame, label=label)
        if not label:
            return self._of_face("expression_end", seen.face, frame, held_s, label=before)
        return self._of_face(
            "expression_change", seen.face, frame, held_s, label=label, previous=before
        )

    def _left(self, seen: _Seen, frame: Frame) -> list[Event]:
        """Forget a face; what was announced of it ends."""
        del self._seen[seen.face.id]
        if not seen.is_announced:
            return []
        events = [self._expression(seen, "", frame)] if seen.label else []
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
