"""Tests values of `events.path` that are not regular files: used, or refused in one sentence."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon
from support.paths import ROOT
from support.waiting import until

from edge_daemon.config.schema import Config
from edge_daemon.core.slots import Backlog
from edge_daemon.events.build import build_event_log, build_log_reader, log_file
from edge_daemon.events.events import Event
from edge_daemon.events.log_reader import Query
from edge_daemon.events.writer import EventLogError

pytestmark = pytest.mark.usefixtures("blazeface_dir")


def configured(path: object, **events: Any) -> Config:
    return Config.model_validate({"events": {"path": str(path), **events}})


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_fifo_is_refused_at_once(tmp_path: Path, fifo: Path) -> None:
    with Daemon(tmp_path, "camera.source=demo", f"events.path={fifo}") as daemon:
        assert daemon.ended() == 2
    (line,) = [line for line in daemon.log if not line.startswith("INFO")]
    assert f"{fifo}: the event log cannot be written: it is not a regular file" in line


def test_a_socket_a_block_device_and_a_folder_are_refused(tmp_path: Path, fifo: Path) -> None:
    bound = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bound))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (tmp_path / "link").symlink_to(fifo)
    odd = [bound, tmp_path, loop, tmp_path / "link", tmp_path / ("n" * 300)]
    odd += [device for device in Path("/dev").glob("loop[0-9]") if device.is_block_device()][:1]
    for path in odd:
        with pytest.raises(EventLogError, match=r"cannot be (written|resolved)"):
            build_event_log(configured(path), Backlog(1))
    with pytest.raises(EventLogError, match="it is not a regular file"):
        fifo.rename(tmp_path / "events.jsonl")
        log = configured(tmp_path / "disk" / "events.jsonl", ram_dir=str(tmp_path))
        build_event_log(log, Backlog(1))


@pytest.mark.parametrize("key", ["events.path", "events.ram_dir"])
def test_a_loop_of_links_is_refused_by_its_key(tmp_path: Path, key: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    events = {"path": str(tmp_path / "log"), key.partition(".")[2]: str(tmp_path / "loop")}
    with pytest.raises(EventLogError, match=f"^{key}: .*loop' cannot be resolved"):
        log_file(Config.model_validate({"events": events}))


def test_a_link_to_a_file_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "disk" / "log.jsonl", tmp_path / "events.jsonl"
    link.symlink_to(target)
    config = configured(link, rotate_mb=0.01)
    backlog: Backlog[Event] = Backlog(100)
    log = build_event_log(config, backlog)
    for number in range(50):
        backlog.put(Event(datetime.now(UTC), "n", {"n": number, "text": "x" * 1000}))
    backlog.close()
    log.run()
    assert link.is_symlink()
    assert len(list(target.parent.glob("log.0*"))) > 3
    assert len(build_log_reader(config).find(Query(), 100)) == 50


@contextmanager
def printing_daemon(path: str, stdout: int) -> Iterator[subprocess.Popen[str]]:
    words = ["-m", "edge_daemon", "run", "--config", str(ROOT / "config.yaml")]
    settings = ["camera.source=demo", "web.port=0", f"events.path={path}", "events.update_s=0.1"]
    options = [word for setting in settings for word in ("--set", setting)]
    with subprocess.Popen(
        [sys.executable, *words, *options],
        cwd=ROOT,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["-", "/dev/stdout", "link"])
def test_events_go_to_standard_output(tmp_path: Path, how: str) -> None:
    path = how
    if how == "link":  # as container images do it
        link = tmp_path / "events.jsonl"
        link.symlink_to("/dev/stdout")
        path = str(link)
    with printing_daemon(path, subprocess.PIPE) as process:
        assert process.stdout is not None
        events = [json.loads(process.stdout.readline()) for _ in range(5)]
        process.send_signal(signal.SIGTERM)
        events += [json.loads(line) for line in process.stdout]
        assert process.wait(40) == 0
    assert (events[0]["type"], events[-1]["type"]) == ("daemon_start", "daemon_stop")
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})


def test_standard_output_that_is_a_file_is_neither_rotated_nor_truncated(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("what was there\n")
    with out.open("a") as file, printing_daemon("/dev/stdout", file.fileno()) as process:
        until(lambda: len(out.read_text().splitlines()) > 5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    lines = out.read_text().splitlines()
    assert lines[0] == "what was there"
    assert json.loads(lines[-1])["type"] == "daemon_stop"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_stream_is_not_gathered_in_ram(tmp_path: Path) -> None:
    with pytest.raises(EventLogError, match=r"events\.ram_dir: .* events\.path is -"):
        build_event_log(configured("-", ram_dir=str(tmp_path)), Backlog(1))


def test_a_new_log_is_not_readable_for_others(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        backlog: Backlog[Event] = Backlog(1)
        log = build_event_log(configured(tmp_path / "events.jsonl"), backlog)
    finally:
        os.umask(umask)
    backlog.close()
    log.run()
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o777 == 0o640
