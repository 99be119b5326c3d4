"""Events from made-up faces: every start has its end, and all pass the published schema."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from conftest import ROOT
from jsonschema import Draft202012Validator, ValidationError

from edge_daemon.events import Event, EventMaker, rfc3339
from edge_daemon.types import Box, Face, Frame

LABELS = ("angry", "happy")
START = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
COMMON = {"camera": "door", "run": "00c0ffee", "model": {"name": "m", "sha256": "ab" * 32}}


def validator() -> Draft202012Validator:
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def frame(at_s: float) -> Frame:
    picture = np.zeros((48, 64, 3), np.uint8)
    return Frame(1, picture, 100 + at_s, START + timedelta(seconds=at_s))


def face(label: str, id_: int = 3) -> Face:
    return Face(id_, Box(1.4, 2.6, 10, 12), label, 0.75, (0.25, 0.75), 0.0)


def story() -> list[Event]:
    maker = EventMaker(labels=LABELS, common=COMMON)
    views = [
        (0.0, [face("")]),
        (1.0, [face("happy")]),
        (2.0, [face("happy")]),
        (3.0, [face("angry")]),
        (4.0, [face("uncertain")]),
        (5.0, [face("happy"), face("", 4)]),
        (6.5, []),
    ]
    return [event for at_s, faces in views for event in maker.update(frame(at_s), faces)]


def test_the_story_of_a_face() -> None:
    told = [(e.type, e.fields["face"], e.fields.get("label")) for e in story()]
    assert told == [
        ("face_start", 3, None),
        ("expression_start", 3, "happy"),
        ("expression_change", 3, "angry"),
        ("expression_end", 3, "angry"),
        ("expression_start", 3, "happy"),
        ("face_start", 4, None),
        ("expression_end", 3, "happy"),
        ("face_end", 3, None),
        ("face_end", 4, None),
    ]


def test_durations_scores_and_boxes() -> None:
    by_type = {e.type: e.as_dict() for e in story() if e.fields["face"] == 3}
    change = by_type["expression_change"]
    assert (change["previous"], change["label"], change["duration_s"]) == ("happy", "angry", 2.0)
    assert change["score"] == change["scores"]["angry"] == 0.25
    assert change["box"] == [1, 3, 10, 12]
    assert change["frame_size"] == [64, 48]
    assert by_type["face_end"]["duration_s"] == 6.5


def test_every_event_passes_the_schema() -> None:
    maker = EventMaker(labels=LABELS, common=COMMON)
    notes = [
        maker.note("daemon_start", START, version="1"),
        maker.note("camera_lost", START, reason="silent"),
        maker.note("camera_restored", START, duration_s=1.0),
        maker.note("daemon_stop", START, duration_s=2.0),
    ]
    check = validator()
    for event in story() + notes:
        check.validate(json.loads(event.as_line()))


def test_the_schema_refuses_what_is_no_event() -> None:
    good = story()[0].as_dict()
    check = validator()
    for broken in (
        good | {"time": "yesterday"},
        good | {"extra": 1},
        good | {"type": "face_vanished"},
        {k: v for k, v in good.items() if k != "face"},
    ):
        with pytest.raises(ValidationError):
            check.validate(broken)


def test_times_are_rfc3339_in_utc() -> None:
    assert rfc3339(START) == "2026-01-31T12:00:00.250Z"
    assert rfc3339(START.astimezone().replace(microsecond=0)) == "2026-01-31T12:00:00.000Z"
