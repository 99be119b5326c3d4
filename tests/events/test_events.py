"""Events from made-up faces: every start has its end, and all pass the published schema."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError
from support.paths import ROOT

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Box, Face, Frame, rfc3339
from edge_daemon.events.events import TYPES, Event, EventMaker

LABELS = ("angry", "happy")
START = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
COMMON = {"camera": "door", "run": "00c0ffee", "model": {"name": "m", "sha256": "ab" * 32}}


def validator() -> Draft202012Validator:
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def frame(at_s: float) -> Frame:
    picture = np.zeros((48, 64, 3), np.uint8)
    return Frame(1, Picture(picture), 100 + at_s, START + timedelta(seconds=at_s))


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


def told(maker: EventMaker, views: list[tuple[float, list[Face]]]) -> list[tuple[float, str]]:
    """Return the events that the maker gives, with their times in seconds from the start."""
    events = [(at_s, e) for at_s, faces in views for e in maker.update(frame(at_s), faces)]
    check = validator()
    for _, event in events:
        check.validate(json.loads(event.as_line()))
    return [(at_s, event.type) for at_s, event in events]


def test_a_face_counts_after_its_dwell_and_a_passer_by_not_at_all() -> None:
    maker = EventMaker(labels=LABELS, common=COMMON, dwell_s=1.0)
    passing, staying = face("happy", 1), face("happy", 2)
    views = [(0.0, [passing]), (0.5, [passing]), (0.9, []), (2.0, [staying]), (3.0, [staying])]
    assert told(maker, [*views, (5.0, [])]) == [
        (3.0, "face_start"),
        (3.0, "expression_start"),
        (5.0, "expression_end"),
        (5.0, "face_end"),
    ]


def test_an_expression_is_reported_once_in_its_cooldown_and_what_is_then_counts() -> None:
    maker = EventMaker(labels=LABELS, common=COMMON, cooldown_s=2.0)
    labels = ["happy", "angry", "happy", "angry", "angry", "uncertain", "angry"]
    views = [(n / 2, [face(label)]) for n, label in enumerate(labels)]
    assert told(maker, [*views, (4.0, [face("happy")]), (4.1, [])]) == [
        (0.0, "face_start"),
        (0.0, "expression_start"),
        (2.0, "expression_change"),
        (4.0, "expression_change"),
        (4.1, "expression_end"),
        (4.1, "face_end"),
    ]


def test_a_face_that_walked_out_ends_where_it_was_last_seen() -> None:
    maker = EventMaker(labels=LABELS, common=COMMON, update_s=1.0)
    boxes = [Box(40, 10, 10, 12), Box(60, 10, 10, 12), Box(75, 10, 10, 12), Box(90, 10, 10, 12)]
    events = []
    for second, box in enumerate(boxes):
        events += maker.update(frame(second), [replace(face("happy"), box=box)])
    events += maker.update(frame(9.0), [])
    boxes_of = [(event.type, event.fields["box"]) for event in events]
    assert boxes_of[-2:] == [
        ("expression_end", [60, 10, 10, 12]),
        ("face_end", [60, 10, 10, 12]),
    ]
    assert all(box[0] < 64 for _, box in boxes_of)


def test_a_face_without_news_is_reported_now_and_then() -> None:
    maker = EventMaker(labels=LABELS, common=COMMON, update_s=3.0)
    views = [(float(n), [face("" if n < 4 else "happy")]) for n in range(9)]
    assert told(maker, views) == [
        (0.0, "face_start"),
        (3.0, "face_update"),
        (4.0, "expression_start"),
        (7.0, "face_update"),
    ]


def test_with_other_labels_the_announced_expressions_end() -> None:
    old = EventMaker(labels=LABELS, common=COMMON)
    old.update(frame(0.0), [face("happy", 3), face("", 4)])
    new = EventMaker(labels=("calm", "excited", "bored"), common=COMMON)
    (ended,) = new.adopt(old, frame(1.0))
    assert (ended.type, ended.fields["face"], ended.fields["label"]) == (
        "expression_end",
        3,
        "happy",
    )
    calm = Face(3, Box(0, 0, 9, 9), "calm", 0.5, (0.5, 0.3, 0.2), 0.0)
    assert told(new, [(2.0, [calm])]) == [(2.0, "face_end"), (2.0, "expression_start")]


def test_with_the_same_labels_a_successor_goes_on() -> None:
    old = EventMaker(labels=LABELS, common=COMMON)
    old.update(frame(0.0), [face("happy")])
    new = EventMaker(labels=LABELS, common=COMMON | {"camera": "gate"})
    assert new.adopt(old, frame(1.0)) == []
    assert new.update(frame(2.0), [face("happy")]) == []


def test_every_event_passes_the_schema() -> None:
    maker = EventMaker(labels=LABELS, common=COMMON)
    notes = [
        maker.make("daemon_start", START, version="1"),
        maker.make("daemon_alive", START),
        maker.make("clock_jump", START, jump_s=-3600.0),
        maker.make("camera_lost", START, reason="silent"),
        maker.make("camera_restored", START, duration_s=1.0),
        maker.make("pause_start", START),
        maker.make("pause_end", START, duration_s=1.5),
        maker.make("daemon_stop", START, duration_s=2.0),
    ]
    check = validator()
    for event in story() + notes:
        check.validate(json.loads(event.as_line()))


def test_the_schema_names_the_types() -> None:
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    assert set(schema["properties"]["type"]["enum"]) == set(TYPES)


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
