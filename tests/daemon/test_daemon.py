"""The running daemon: a process on a real clip, watched over HTTP and stopped by signals."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from support.daemon import Daemon, jpegs
from support.paths import ROOT
from support.pictures import decoded

pytestmark = pytest.mark.usefixtures("blazeface_dir")

# An unexpected failure inside a thread, which no known input causes.
SABOTAGED = """
import sys
from edge_daemon.vision import tracker
from edge_daemon.commands import main
def update(self, detections, now_s):
    raise ZeroDivisionError("sabotage")
tracker.Tracker.update = update
sys.exit(main())
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, media_dir: Path) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("daemon")
    clip = media_dir / "signing-book.mkv"
    with Daemon(folder, f"camera.source={clip}") as daemon:
        daemon.until(lambda: any(f["label"] for f in daemon.state()["faces"]))
        yield daemon


def validate(events: list[dict[str, object]]) -> None:
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    check = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for event in events:
        check.validate(event)


def test_the_log_describes_the_daemon_in_a_few_lines(running: Daemon) -> None:
    text = "\n".join(running.log)
    for part in ("signing-book.mkv", "detector: blazeface", "model: ", "runtime: ", "watch: http"):
        assert part in text
    assert len(running.log) <= 10
    later = ("watch: ", "camera ok: ")  # the camera opens in its own time
    assert [line for line in running.log if "INFO" in line][-1].split("INFO ")[1].startswith(later)


def test_the_state_describes_the_face(running: Daemon) -> None:
    state = running.until(lambda: (s := running.state())["faces"] and s)
    (face,) = state["faces"]
    assert set(face["scores"]) == set(state["model"]["labels"])
    assert state["camera"]["state"] == "ok"
    assert state["fps"] > 0
    assert running.get("/healthz").startswith(b"ok")


def test_the_stream_is_moving_pictures_with_a_box(running: Daemon) -> None:
    with urllib.request.urlopen(running.url + "/stream.mjpg", timeout=20) as stream:
        assert stream.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        parts = jpegs(stream)
        pictures = [decoded(next(parts)) for _ in range(5)]
    assert {p.shape for p in pictures} == {(480, 640, 3)}
    assert all(np.any(a != b) for a, b in pairwise(pictures))


def test_two_viewers_at_once_and_closing_one_leaves_nothing(running: Daemon) -> None:
    url = running.url + "/stream.mjpg"
    with urllib.request.urlopen(url, timeout=20) as first:
        with urllib.request.urlopen(url, timeout=20) as second:
            assert next(jpegs(second))
            assert next(jpegs(first))
            running.until(lambda: running.state()["viewers"] == 2)
        running.until(lambda: running.state()["viewers"] == 1)
        assert next(jpegs(first))
    running.until(lambda: running.state()["viewers"] == 0)


def test_events_are_on_disk_while_it_runs(running: Daemon) -> None:
    kinds = running.until(
        lambda: "expression_start" in (k := [e["type"] for e in running.events()]) and k
    )
    assert kinds[:2] == ["daemon_start", "face_start"]
    validate(running.events())


@pytest.mark.skipif(shutil.which("jq") is None, reason="NOT TESTED: jq is not installed")
def test_the_jq_lines_of_the_documentation_work(running: Daemon, tmp_path: Path) -> None:
    lines = re.findall(r"^jq .*$", (ROOT / "docs" / "events.md").read_text(), re.M)
    assert len(lines) >= 2
    running.until(lambda: any(e["type"] == "expression_start" for e in running.events()))
    shutil.copy(running.events_path, tmp_path / "events.jsonl")
    for line in lines:
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, line + done.stderr
        assert done.stdout.strip(), line


def test_nothing_of_training_is_imported(tmp_path: Path) -> None:
    with Daemon(
        tmp_path, "camera.source=demo", python=("-X", "importtime", "-m", "edge_daemon")
    ) as daemon:
        daemon.until(lambda: daemon.state()["faces"])
        assert daemon.stop() == 0
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in daemon.log
        if line.startswith("import time:")
    }
    assert {"edge_daemon", "numpy", "cv2"} <= imported
    assert not imported & {"tensorflow", "keras", "train", "convert", "mediapipe", "matplotlib"}
    assert "paho" not in imported  # nor what was not asked for


def test_a_file_played_once_ends_the_daemon(tmp_path: Path, media_dir: Path) -> None:
    clip = media_dir / "two-people-tilting.mp4"
    with Daemon(
        tmp_path, f"camera.source={clip}", "camera.loop=false", "camera.lossless=true"
    ) as daemon:
        assert daemon.ended() == 0
    events = daemon.events()
    validate(events)
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-1]) == ("daemon_start", "daemon_stop")
    assert kinds.count("face_start") == kinds.count("face_end") == 2
    starts = kinds.count("expression_start")
    assert starts == kinds.count("expression_end")


def test_sigterm_with_viewers_that_do_not_read(tmp_path: Path) -> None:
    with Daemon(tmp_path, "camera.source=demo") as daemon:
        daemon.until(lambda: daemon.state()["faces"])
        host, port = daemon.url.removeprefix("http://").split(":")
        viewers = [socket.create_connection((host, int(port))) for _ in range(3)]
        for viewer in viewers:
            viewer.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        daemon.until(lambda: daemon.state()["viewers"] == 3)
        assert daemon.stop() == 0
        for viewer in viewers:
            viewer.close()
    kinds = [event["type"] for event in daemon.events()]
    assert kinds[-1] == "daemon_stop"
    assert kinds.count("face_start") == kinds.count("face_end")


def test_ctrl_c_stops_the_daemon_like_sigterm(tmp_path: Path) -> None:
    with Daemon(tmp_path, "camera.source=demo") as daemon:
        daemon.until(daemon.events)
        assert daemon.stop(signal.SIGINT) == 0
    assert not any("Traceback" in line for line in daemon.log)


def test_a_camera_that_hangs_is_lost_and_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []
    accepting = threading.Thread(target=lambda: held.append(server.accept()[0]), daemon=True)
    accepting.start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}/cam.mjpg"
    with Daemon(tmp_path, f"camera.source={url}", "camera.timeout_s=1") as daemon:
        daemon.until(lambda: held)
        daemon.until(daemon.events)
        assert daemon.stop() == 0
    assert not any("Traceback" in line for line in daemon.log)
    for each in (server, *held):
        each.close()


def test_a_failure_in_a_thread_ends_the_process(tmp_path: Path) -> None:
    with Daemon(tmp_path, "camera.source=demo", python=("-c", SABOTAGED)) as daemon:
        assert daemon.ended() == 1
    text = "\n".join(daemon.log)
    assert "ZeroDivisionError: sabotage" in text
    assert daemon.events()[-1]["type"] == "daemon_stop"


def refusal(*words: str | Path) -> str:
    """Return the error line of a daemon that refuses to start, with exit code 2."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_daemon", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if not re.match(r"(\S+ \S+ )?INFO", line)]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["camera.sorce=demo"], "unknown key 'camera.sorce'; did you mean 'camera.source'?"),
        (["camera.fps=fast"], "camera.fps is 'fast'"),
        (["model=nowhere.tflite"], "nowhere.tflite: the model cannot be read"),
        (["model=README.md"], "README.md: is not a TFLite model"),
        (["camera.source=nowhere.mp4"], "nowhere.mp4 does not exist"),
        (["camera.source=README.md"], "README.md"),
        (["camera.source=ftp://x/y"], "ftp://"),
        (["events.path=README.md/events.jsonl", "web.port=0"], "the event log cannot be written"),
        (["events.path=.", "web.port=0"], "it is a folder; set a file in that folder"),
        (["events.path=/", "web.port=0"], "it is a folder; set a file in that folder"),
        (["web.host=a..b", "web.auth=none", "camera.source=demo"], "web: cannot listen on a..b:"),
        (
            ["web.host=nowhere.invalid", "web.auth=none", "camera.source=demo"],
            "web: cannot listen on nowhere.invalid:8080: ",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    settings: list[str], expected: str, tmp_path: Path
) -> None:
    words = [f"events.path={tmp_path / 'events.jsonl'}", *settings]
    options = [word for setting in words for word in ("--set", setting)]
    assert expected in refusal("run", *options)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = [f"events.path={tmp_path / 'e.jsonl'}", f"web.port={port}"]
        options = [word for setting in settings for word in ("--set", setting)]
        line = refusal("run", *options)
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in line


def test_a_configuration_can_be_checked(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("web:\n  port: no\n")
    assert f"{path}, line 2: web.port is False" in refusal("check-config", "--config", path)
