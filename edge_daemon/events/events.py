"""Turns the faces of successive views into events.

An event is one JSON object; docs/events.schema.json describes each type. A face and its expression
each have a start and an end, as in Frigate's new/update/end. In between, the expression may change,
and the face is reported at intervals. "uncertain" is not an expression: when a face becomes
uncertain, its expression ends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from edge_daemon.core.types import UNCERTAIN, Box, Face, Frame, rfc3339

SCHEMA: Final = 1
TYPES: Final = (
    "daemon_start", "daemon_alive", "daemon_stop", "clock_jump",
    "camera_lost", "camera_restored", "pause_start", "pause_end",
    "face_start", "face_update", "face_end",
    "expression_start", "expression_change", "expression_end",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log: its time, type and the fields of that type.

    `id` is "" until the feed gives the event its place in the log.
    """

    at: datetime
    type: str
    fields: dict[str, Any]
    id: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the values of the JSON object, with `id` only if the event has one."""
        identity = {"id": self.id} if self.id else {}
        time = rfc3339(self.at)
        return {"schema": SCHEMA, **identity, "time": time, "type": self.type, **self.fields}

    def as_line(self) -> str:
        """Return the event as one line of JSON with its line feed."""
        return json.dumps(self.as_dict(), separators=(",", ":"), ensure_ascii=False) + "\n"


@dataclass(slots=True)
class _Presence:
    """A face as it was last reported; times are capture times of frames, in seconds."""

    face: Face
    since_s: float
    is_announced: bool = False
    reported_s: float = -math.inf  # by any event
    label: str = ""
    label_since_s: float = -math.inf


class EventMaker:
    """Turns faces into events and remembers which faces and expressions were announced.

    `common` holds the fields of every event: camera, run, model. A face is announced after
    `dwell_s`. Its expression is reported at most once every `cooldown_s`; changes in between are
    omitted. If nothing was reported of a face for `update_s`, its state is reported (0: never).
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
        self._present: dict[int, _Presence] = {}

    def make(self, kind: str, at: datetime, **fields: Any) -> Event:
        """Make an event about the daemon or the camera, not about a face."""
        return Event(at, kind, {**self._common, **fields})

    def update(self, frame: Frame, faces: Sequence[Face]) -> list[Event]:
        """Return the events that lead from the faces of the previous frame to those of `frame`."""
        ids = {face.id for face in faces}
        gone = [presence for id_, presence in self._present.items() if id_ not in ids]
        events = [event for presence in gone for event in self._end(presence, frame)]
        for face in faces:
            presence = self._present.setdefault(face.id, _Presence(face, frame.captured_s))
            # A face that left the frame is predicted until it times out: keep its last visible box.
            box = face.box if _is_visible(face.box, frame) else presence.face.box
            presence.face = replace(face, box=box)
            events += self._report(presence, frame)
        return events

    def adopt(self, old: EventMaker, frame: Frame) -> list[Event]:
        """Take over the faces of `old`.

        If the labels differ, the announced expressions end; these events are returned.
        """
        self._present = old._present
        if old._labels == self._labels:
            return []
        labeled = [presence for presence in self._present.values() if presence.label]
        return [old._change_label(presence, "", frame) for presence in labeled]

    def _report(self, presence: _Presence, frame: Frame) -> list[Event]:
        """Return the events that are due for a face in the frame."""
        now_s, face = frame.captured_s, presence.face
        events = []
        if not presence.is_announced and now_s - presence.since_s >= self._dwell_s:
            presence.is_announced, presence.reported_s = True, now_s
            events.append(self._face_event("face_start", face, frame))
        label = "" if face.label == UNCERTAIN else face.label
        is_due = now_s - presence.label_since_s >= self._cooldown_s
        if presence.is_announced and label != presence.label and is_due:
            events.append(self._change_label(presence, label, frame))
        if presence.is_announced and now_s - presence.reported_s >= self._update_s:
            presence.reported_s = now_s
            fields = {"label": presence.label} if presence.label else {}
            stayed_s = now_s - presence.since_s
            events.append(self._face_event("face_update", face, frame, stayed_s, **fields))
        return events

    def _change_label(self, presence: _Presence, label: str, frame: Frame) -> Event:
        """Replace the announced label of a face by `label`, "" for none; return the event."""
        before, held_s = presence.label, frame.captured_s - presence.label_since_s
        presence.label, presence.label_since_s = label, frame.captured_s
        presence.reported_s = frame.captured_s
        if not before:
            return self._face_event("expression_start", presence.face, frame, label=label)
        if not label:
            return self._face_event("expression_end", presence.face, frame, held_s, label=before)
        return self._face_event(
            "expression_change", presence.face, frame, held_s, label=label, previous=before
        )

    def _end(self, presence: _Presence, frame: Frame) -> list[Event]:
        """Forget a face; return the events that end it and its expression, if announced."""
        del self._present[presence.face.id]
        if not presence.is_announced:
            return []
        events = [self._change_label(presence, "", frame)] if presence.label else []
        stayed_s = frame.captured_s - presence.since_s
        return [*events, self._face_event("face_end", presence.face, frame, stayed_s)]

    def _face_event(
        self,
        kind: str,
        face: Face,
        frame: Frame,
        duration_s: float | None = None,
        **fields: Any,
    ) -> Event:
        values = self._common | {"face": face.id} | fields
        if "label" in fields:
            scores = dict(zip(self._labels, face.scores, strict=True))
            values["score"] = round(scores[fields["label"]], 3)
            values["scores"] = {label: round(score, 3) for label, score in scores.items()}
        values["box"] = [round(value) for value in face.box]
        values["detection_score"] = round(face.detection_score, 3)
        values["frame_size"] = list(frame.size)
        if duration_s is not None:
            values["duration_s"] = round(duration_s, 3)
        return Event(frame.captured_at, kind, values)


def _is_visible(box: Box, frame: Frame) -> bool:
    """Return whether a pixel of the box, rounded as in events, is in the frame."""
    width, height = frame.size
    x, y, w, h = (round(value) for value in box)
    return x < width and y < height and x + w > 0 and y + h > 0
