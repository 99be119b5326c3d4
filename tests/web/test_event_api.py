"""Events over HTTP: pages of the log, and server-sent events."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from support.labels import LABELS
from support.website import Site, served, view

from edge_daemon.events.log_reader import EventIds, EventLogReader, Query
from edge_daemon.events.ram import RamLog
from edge_daemon.events.rotating import LogPolicy, RotatingLog

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, view(1)) as site:
        yield site


@pytest.fixture
def full(site: Site) -> Site:
    """Return a site whose log has ten expressions, in pairs of the same second."""
    for number in range(10):
        at = AT + timedelta(seconds=number - number % 2)
        label = LABELS[number % 3]
        site.happens("expression_start", at, face=number, label=label, score=0.5)
    site.happens("face_end", AT + timedelta(seconds=60), face=1, duration_s=1.5)
    site.until_logged(11)
    return site


def faces_of(site: Site, query: str) -> list[int]:
    response = site.get(f"/events?{query}")
    assert response.status == 200, response.body
    return [event["face"] for event in json.loads(response.body)["events"]]


def test_the_log_is_read_back_by_time_type_and_label(full: Site) -> None:
    assert faces_of(full, "") == [*range(10), 1]
    assert faces_of(full, "since=2026-01-31T12:00:04Z&until=2026-01-31T12:00:08Z") == [4, 5, 6, 7]
    assert faces_of(full, "since=2026-01-31T14:00:04%2B02:00&limit=2") == [4, 5]
    assert faces_of(full, "type=face_end") == [1]
    assert faces_of(full, "label=disgust&label=fear") == [1, 2, 4, 5, 7, 8]
    assert faces_of(full, "type=face_end,expression_start&label=angry") == [0, 3, 6, 9]


def test_pages_follow_one_another_without_gap_or_repeat(full: Site) -> None:
    seen, after = [], ""
    for _ in range(4):
        page = json.loads(full.get(f"/events?limit=3&after={after}").body)
        seen += [event["face"] for event in page["events"]]
        after = page["next"]
    assert seen == [*range(10), 1]
    assert after is None


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "type=none",
        "type=face_end,face_emd",
        "until=1",
        "limit=0",
        "limit=x",
        "limit=1e9",
        "after=5",
        "after=2026-01-31",
    ],
)
def test_a_wrong_question_is_named(site: Site, query: str) -> None:
    for path in ("/events", "/events.csv"):
        response = site.get(f"{path}?{query}")
        assert response.status == 400
        assert f"?{query.partition('=')[0]}=" in response.body.decode()


def test_the_table_holds_the_events_and_no_formula(site: Site) -> None:
    site.happens("expression_start", AT, face=1, label="happy", score=0.5)
    site.happens("camera_lost", AT, reason='=HYPERLINK("http://evil.example")')
    site.until_logged(2)
    response = site.get("/events.csv")
    assert "attachment" in response.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(response.body.decode())))
    assert (rows[0]["label"], rows[0]["score"], rows[0]["face"]) == ("happy", "0.5", "1")
    assert rows[1]["reason"].startswith("'=")


def test_what_rotation_left_is_read_too_and_damage_is_skipped(tmp_path: Path) -> None:
    def line(second: int) -> str:
        at = f"2026-01-31T12:00:{second:02}.000Z"
        return f'{{"schema":1,"time":"{at}","type":"t","n":{second}}}'

    with gzip.open(tmp_path / "events.jsonl.2.gz", "wt") as oldest:
        oldest.write(f"{line(1)}\n{line(2)}\n")
    (tmp_path / "events.jsonl.1").write_text(f"{line(3)}\nnonsense\n\0\0\0\n{line(4)[:-5]}\n")
    (tmp_path / "events.jsonl").write_text(f'{line(5)}\n{line(6)}\n{{"time":"2026-01-31T12:00:07.0')
    for age_s, name in enumerate(("events.jsonl", "events.jsonl.1", "events.jsonl.2.gz")):
        os.utime(tmp_path / name, (1e9 - age_s, 1e9 - age_s))
    reader = EventLogReader(tmp_path / "events.jsonl")
    found = reader.find(Query(), 100)
    assert [entry.event["n"] for entry in found] == [1, 2, 3, 5, 6]
    assert [e.event["n"] for e in reader.find(Query(after=found[2].id), 100)] == [5, 6]
    assert [e.event["n"] for e in reader.find(Query(after="2026-01-31T12:00:02.500Z/3"), 9)] == [
        3, 5, 6,
    ]  # fmt: skip
    assert EventLogReader(tmp_path / "none.jsonl").find(Query(), 9) == []


def test_the_archive_and_what_waits_in_ram_are_read_in_order(tmp_path: Path) -> None:
    def line(number: int) -> bytes:
        at = f"2026-01-31T12:00:{number:02}.000Z"
        return f'{{"schema":1,"time":"{at}","type":"t","n":{number}}}\n'.encode()

    disk = RotatingLog(tmp_path / "events.jsonl", LogPolicy(rotate_bytes=150))
    for number in range(10):
        disk.append(line(number))
    while disk.tidy():
        pass
    disk.close()
    assert list(tmp_path.glob("*.gz"))
    aside = next(tmp_path.glob("*.gz"))
    aside.with_suffix("").write_bytes(gzip.decompress(aside.read_bytes()))  # cut off before unlink
    aside.with_name(f"{aside.name}.part").write_bytes(b"half")
    ram = tmp_path / "ram.jsonl"
    ram.write_bytes(line(10))
    found = EventLogReader(disk.path, ram).find(Query(), 100)
    assert [entry.event["n"] for entry in found] == list(range(11))


@pytest.mark.parametrize("in_ram", [False, True])
def test_a_log_that_is_being_written_is_read_without_gap_or_repeat(
    tmp_path: Path, in_ram: bool
) -> None:
    """Meanwhile its files are rotated, compressed, and flushed from RAM."""
    disk = RotatingLog(tmp_path / "events.jsonl", LogPolicy(rotate_bytes=2000, flush_s=0.0))
    store = RamLog(tmp_path / "ram", disk) if in_ram else disk
    written = [0]

    def write() -> None:
        store.open()
        for number in range(1000):
            at = f"2026-01-31T12:{number // 60:02}:{number % 60:02}.000Z"
            store.append(f'{{"time":"{at}","type":"t","n":{number}}}\n'.encode())
            written[0] = number + 1
            if number % 5 == 0:
                store.sync()
            store.tidy()
        store.close()

    reader = EventLogReader(disk.path, tmp_path / "ram" / "events.jsonl" if in_ram else None)
    writer = threading.Thread(target=write)
    writer.start()
    found = 0
    while found < 1000:
        at_least = written[0]
        numbers = [entry.event["n"] for entry in reader.find(Query(), 2000)]
        assert numbers == list(range(len(numbers)))
        assert at_least <= len(numbers)
        found = len(numbers)
    writer.join()


def test_events_of_one_moment_have_ids_of_their_own() -> None:
    ids = EventIds()
    times = ("2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00.000Z", "2026-01-31T12:00:01.000Z")
    found = [ids.next(time) for time in (*times, *times[:1] * 10)]
    assert found[:3] == [f"{times[0]}/0", f"{times[0]}/1", f"{times[2]}/0"]
    assert found[-1] == "2026-01-31T12:00:01.001Z/0"
    assert found == sorted(set(found))


def messages(response: HTTPResponse, count: int, name: str = "message") -> list[dict[str, Any]]:
    """Read the next `count` messages with this name, each with its id under "id"."""
    found: list[dict[str, Any]] = []
    fields: dict[str, str] = {}
    while len(found) < count:
        line = response.readline().decode().rstrip("\n")
        if line:
            key, _, value = line.partition(": ")
            fields[key] = value
            continue
        if "data" in fields and fields.get("event", "message") == name:
            found.append({"id": fields.get("id"), **json.loads(fields["data"])})
        fields = {}
    return found


SSE = {"Accept": "text/event-stream"}


def test_events_come_as_they_happen(full: Site) -> None:
    with full.watch("/events", **SSE) as live:
        full.happens("face_start", face=77)
        (event,) = messages(live, 1)
    assert (event["type"], event["face"]) == ("face_start", 77)
    full.until_logged(12)
    assert json.loads(full.get(f"/events?since={event['time']}").body)["events"][0] == event


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_reader_resumes_where_it_was(full: Site, how: str) -> None:
    last = json.loads(full.get("/events?limit=6").body)["events"][-1]["id"]
    path, headers = "/events", {**SSE, "Last_Event_ID": last}
    if how == "query":
        path, headers = f"/events?last_event_id={last}", dict(SSE)
    with full.watch(path, **headers) as live:
        full.happens("face_start", face=77)
        assert [event["face"] for event in messages(live, 6)] == [6, 7, 8, 9, 1, 77]


def test_a_reader_without_an_id_may_begin_at_a_time(site: Site) -> None:
    """A page that found the log empty misses no event that is logged before it connects."""
    for face in range(4):
        site.happens("face_start", AT + timedelta(seconds=face), face=face)
    for since, faces in (("12:00:02Z", [2, 3]), ("11:00:00Z", [0, 1, 2, 3])):
        with site.watch(f"/events?since=2026-01-31T{since}", **SSE) as live:
            assert [event["face"] for event in messages(live, len(faces))] == faces


def test_a_reader_resumes_from_the_log_when_memory_has_forgotten(site: Site) -> None:
    for number in range(700):
        site.happens("face_start", AT + timedelta(seconds=number), face=number)
    site.until_logged(700)
    last = json.loads(site.get("/events?limit=10").body)["events"][-1]["id"]
    with site.watch("/events", **SSE, Last_Event_ID=last) as live:
        assert [event["face"] for event in messages(live, 690)] == list(range(10, 700))


def test_times_that_go_back_repeat_nothing(site: Site) -> None:
    """Several threads log events, and clocks are set back, so a time may repeat."""
    with site.watch("/events", **SSE) as live:
        for face, second in enumerate((1, 2, 1, 3)):
            site.happens("face_start", AT + timedelta(seconds=second), face=face)
            assert messages(live, 1)[0]["face"] == face


def test_faces_and_state_come_with_the_page(site: Site) -> None:
    with site.camera_running(), site.watch("/events?live=1", **SSE) as live:
        (faces,) = messages(live, 1, "faces")
        states = messages(live, 2, "state")
    assert faces["size"] == [160, 120]
    assert states[1]["camera"]["name"] == "Door"


@pytest.mark.parametrize("wrong", ["5", "2026-01-31", "yesterday/1", "x" * 100])
def test_a_wrong_id_is_named(site: Site, wrong: str) -> None:
    """It would otherwise sort after every event, and the reader wait for ever."""
    response = site.get("/events", **SSE, Last_Event_ID=wrong)
    assert (response.status, b"Last-Event-ID should be the id" in response.body) == (400, True)
    response = site.get(f"/events?last_event_id={wrong}", **SSE)
    assert (response.status, b"?last_event_id= should be the id" in response.body) == (400, True)


def test_readers_are_bounded(site: Site) -> None:
    with site.watch("/events", **SSE), site.watch("/events", **SSE), site.watch("/events", **SSE):
        refused = site.get("/events", **SSE)
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) > 0
