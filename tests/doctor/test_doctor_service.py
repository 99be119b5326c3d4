"""Tests the doctor's checks of the port and of a daemon that runs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon
from support.doctor import doctor, only

from edge_daemon.web.credentials import hash_token, new_token


class Other(BaseHTTPRequestHandler):
    """Another program: it answers ok to everything but is not our daemon."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def other_program() -> Iterator[int]:
    """The port of another program."""
    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class TestService:
    def test_a_port_that_another_program_has(
        self, other_program: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = doctor(capsys, "camera.source=demo", f"web.port={other_program}")
        verdict, sentence, remedy = only(found, "port")
        assert verdict == "error"
        assert f"cannot listen on 127.0.0.1:{other_program}: Address already" in sentence
        assert "stream" not in found
        free = int(remedy.partition("web.port: ")[2].partition(";")[0])
        socket.create_server(("127.0.0.1", free)).close()

    def test_an_address_that_this_machine_has_not(self, capsys: pytest.CaptureFixture[str]) -> None:
        settings = ("web.host=192.0.2.7", "web.port=8080", "web.auth=none")
        verdict, sentence, remedy = only(doctor(capsys, "camera.source=demo", *settings), "port")
        assert verdict == "error"
        assert "cannot listen on 192.0.2.7:8080: Cannot assign" in sentence
        assert remedy.endswith("# web.host: 127.0.0.1")

    def test_a_running_daemon_is_well_and_keeps_its_camera(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Daemon(tmp_path, "camera.source=demo") as daemon:
            daemon.until(lambda: daemon.state()["frames"]["processed"] > 0)
            port = daemon.url.rpartition(":")[2]
            found = doctor(capsys, "camera.source=/dev/video77", f"web.port={port}")
            assert only(found, "port")[:2] == ("ok", f"a daemon serves {daemon.url}")
            assert only(found, "stream")[:2] == (
                "ok",
                f"{daemon.url}/stream.mjpg delivers pictures",
            )
            assert only(found, "health")[0] == "ok"
            verdict, sentence, _ = only(found, "picture")
            assert verdict == "ok"
            assert "uses the camera; it was not opened" in sentence

    def test_a_daemon_with_a_token_and_no_camera(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        guarded = f"web.token={hash_token(new_token())}"
        with Daemon(tmp_path, "camera.source=http://127.0.0.1:9/", guarded) as daemon:
            port = daemon.url.rpartition(":")[2]
            daemon.until(lambda: "camera lost" in "\n".join(daemon.log))
            found = doctor(capsys, f"web.port={port}", guarded)
        verdict, sentence, remedy = only(found, "health")
        assert (verdict, remedy) == ("error", "journalctl -u 'edge-daemon*' -n 30")
        assert sentence == f"{daemon.url}/healthz answers failing"
        assert "requires the password or the token" in only(found, "stream")[1]
