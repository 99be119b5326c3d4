"""Tests that no kind of request delays another: pictures, queries, live events and uploads."""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support.daemon import Daemon
from support.website import Site, read_part, served, view

from edge_daemon.events.log_reader import EventLogReader, Query
from edge_daemon.web.searches import FREE_S, LogSearches
from edge_daemon.web.server.handler import Client


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, view(1)) as site:
        yield site


def write_long_log(folder: Path, lines: int = 200_000) -> None:
    """Write a rotated file that takes a while to search, by default most of a second."""
    line = '{"schema":1,"time":"2026-01-31T12:00:00.000Z","type":"face_start","camera":"Door"}\n'
    (folder / "events.jsonl.1").write_text(line * lines)


READERS = 20
SEARCH = b"GET /events?label=none HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def test_queries_do_not_hold_up_the_picture(tmp_path: Path) -> None:
    write_long_log(tmp_path)
    with served(tmp_path, view(1)) as site, ExitStack() as clients:
        searching = []
        for _ in range(20):
            searching.append(clients.enter_context(site.connect()))
            searching[-1].sendall(SEARCH)
        with site.camera_running(), site.watch() as stream:
            for _ in range(10):
                read_part(stream)
        assert site.get("/state").status == 200
        assert site.get("/metrics").status == 200
        answered, _, _ = select.select(searching, [], [], 0)
        assert len(answered) < len(searching)


def test_a_long_query_rests_more_than_it_works(tmp_path: Path) -> None:
    """Its thread would hold the interpreter's lock whenever a frame needs it."""
    write_long_log(tmp_path, lines=40_000)
    log = EventLogReader(tmp_path / "events.jsonl")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        search = LogSearches().begin(Client(ours))
        began_s, began_working_s = time.monotonic(), time.thread_time()
        found = log.find(Query(labels=frozenset({"none"})), 1, is_canceled=search.checkpoint)
        worked_s = time.thread_time() - began_working_s
        rested_s = time.monotonic() - began_s - worked_s
        assert found == []
        assert worked_s > FREE_S
        assert rested_s > 1.5 * (worked_s - FREE_S)
        theirs.close()
        assert search.checkpoint()


def test_a_query_ends_when_its_client_leaves(tmp_path: Path) -> None:
    """Else those of the clients that left would be searched one after another, for a minute."""
    write_long_log(tmp_path)
    with served(tmp_path, view(1)) as site:
        for _ in range(200):
            with site.connect() as client:
                client.sendall(SEARCH)
        assert site.get("/events?since=1h").status == 200


def test_twenty_readers_that_come_back_at_once_get_all_they_missed(tmp_path: Path) -> None:
    """After an outage, from the log's files; meanwhile the stream goes on."""
    with served(tmp_path, view(1), max_viewers=READERS) as site, ExitStack() as clients:
        for number in range(1500):
            site.happens("face_start", face=number)
        site.until_logged(1500)
        first = json.loads(site.get("/events?limit=1").body)["events"][0]["id"]
        clients.enter_context(site.camera_running())
        stream = clients.enter_context(site.watch())
        asked = {"Accept": "text/event-stream", "Last_Event_ID": first}
        readers = [clients.enter_context(site.watch("/events", **asked)) for _ in range(READERS)]
        for reader in readers:
            numbers: list[int] = []
            while len(numbers) < 1499:
                line = reader.readline()
                if line.startswith(b"data: "):
                    numbers.append(json.loads(line[6:])["face"])
            assert numbers == list(range(1, 1500))
            read_part(stream)


def test_half_a_form_takes_no_thread(site: Site) -> None:
    """Uploads that do not arrive hold places of their own, not those of queries and pictures."""
    with ExitStack() as clients:
        for _ in range(10):
            client = clients.enter_context(site.connect())
            client.sendall(b"POST /api/classify HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            client.sendall(b"Content-Type: multipart/form-data; boundary=a\r\n")
            client.sendall(b"Content-Length: 1000\r\n\r\n--a\r\n")
        assert site.get("/events").status == 200
        assert site.get("/snapshot.jpg").status == 200


def test_a_daemon_with_few_files_goes_on_among_strangers(tmp_path: Path) -> None:
    """Three hundred connections, a hundred and sixty files: camera, log and page go on."""
    few_files = ("prlimit", "--nofile=160", sys.executable)
    with (
        Daemon(
            tmp_path, "camera.source=demo", "events.update_s=1", interpreter=few_files
        ) as daemon,
        ExitStack() as all_,
    ):
        daemon.until(lambda: daemon.state()["faces"])
        port = int(daemon.url.rpartition(":")[2])
        for _ in range(300):
            stranger = all_.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            with suppress(ConnectionError):
                stranger.sendall(b"GET /stream HTTP/1.1\r\nHost: 127")
        frames, events = daemon.state()["frames"]["processed"], len(daemon.events())
        daemon.until(lambda: daemon.state()["frames"]["processed"] > frames + 10)
        daemon.until(lambda: len(daemon.events()) > events)
        assert daemon.get("/healthz").startswith(b"ok")
        assert daemon.stop() == 0
