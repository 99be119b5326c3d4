"""The real web server with generated views."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

import numpy as np
from werkzeug.security import generate_password_hash

from edge_daemon.config.file import ConfigSource
from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Box, Face, Frame, View
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.log_reader import EventLogReader
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.events.writer import EventLog
from edge_daemon.history.report import HistoryReport
from edge_daemon.pipeline.calibration import Calibrator
from edge_daemon.settings import SettingsEditor
from edge_daemon.vision.classifier import Classifier
from edge_daemon.vision.detector import Detector, build_detector
from edge_daemon.vision.model_file import read_model_file
from edge_daemon.vision.still import StillReader
from edge_daemon.web.access import AccessPolicy
from edge_daemon.web.app import WebServer, WebSources
from edge_daemon.web.server.listener import Tls
from edge_daemon.web.stream import BOUNDARY
from support.labels import LABELS
from support.paths import ROOT
from support.waiting import DEADLINE_S, until

CAPTURED_AT = datetime(2025, 3, 4, 5, 6, 7, 250_000, tzinfo=UTC)
METRICS = b"# HELP mien_viewers Streams being watched.\n# TYPE mien_viewers gauge\nmien_viewers 0\n"
COMMON = {
    "camera": "Door",
    "run": "0123abcd",
    "model": {"name": "small", "sha256": "0123456789abcdef" * 4},
}


def view(number: int, size: tuple[int, int] = (160, 120)) -> View:
    """Return a view of one flat gray level, different from those before and after it."""
    width, height = size
    bgr = np.full((height, width, 3), number * 40 % 256, np.uint8)
    face = Face(1, Box(40, 40, 30, 30), "", 0.0, (), since_s=0.0)
    return View(Frame(number, Picture(bgr), time.monotonic(), CAPTURED_AT), (face,))


def noise(number: int) -> View:
    """Return a view that compresses badly: a quarter of a megabyte or more."""
    bgr = np.random.default_rng(number).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    return View(Frame(number, Picture(bgr), time.monotonic(), CAPTURED_AT))


def face(number: int, label: str, score: float) -> dict[str, Any]:
    """Return a face as in /state."""
    scores = dict.fromkeys(LABELS, (1 - score) / 6) | {label: score}
    box = [40, 30, 60, 60]
    return {
        "id": number, "label": label, "score": score, "scores": scores, "box": box, "since_s": 75.0,
        "detection_score": 0.914,
    }  # fmt: skip


def quick_hash(password: str) -> str:
    """Hash like `hash_password`, but so that a check takes a sixteenth of the time."""
    return generate_password_hash(password, "scrypt:1024:8:1")


def read_part(stream: Readable) -> tuple[Message, bytes]:
    """Read the next part of a stream by its Content-Length, as strict clients do."""
    assert stream.readline() == f"--{BOUNDARY}\r\n".encode()
    headers = Message()
    while (line := stream.readline()) != b"\r\n":
        name, _, value = line.decode().partition(":")
        headers[name] = value.strip()
    jpeg = stream.read(int(headers["Content-Length"]))
    assert stream.read(2) == b"\r\n"
    return headers, jpeg


def _stills() -> tuple[Detector, Classifier]:
    models = ROOT / "models"
    detector = build_detector("auto", models_dir=models)
    return detector, Classifier(read_model_file(models / "expression.tflite"))


class Readable(Protocol):
    """An object that a stream is read from."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self) -> bytes: ...


class Answer(NamedTuple):
    """A complete response."""

    status: int
    headers: Message
    body: bytes


class Site:
    """The server, its views, and requests to it. It also implements the daemon's report."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        max_viewers: int = 3,
        password: str = "",
        token: str = "",
        hosts: tuple[str, ...] = (),
        cors_origins: tuple[str, ...] = (),
        trusted_proxies: tuple[str, ...] = (),
        session_s: float = 3600.0,
        settings: bool = False,
        tls: Tls | None = None,
    ) -> None:
        self.views: Latest[View] = Latest()
        self.camera: dict[str, Any] = {
            "name": "Door",
            "source": "/dev/video0",
            "state": "ok",
            "notice": "",
        }
        self.seen: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}
        self.totals: HistoryReport | None = None
        self.health = (True, "frames arrive")
        self.failures: list[BaseException] = []
        self.encoded: list[str] = []
        self._started_s = time.monotonic()
        self._backlog: Backlog[Event] = Backlog(10_000)
        path = folder / "events.jsonl"
        self._log = EventLog(path, RotatingLog(path, LogPolicy(rotate_bytes=20_000)), self._backlog)
        self._logger = threading.Thread(target=self._log.run)
        self.feed = EventFeed([self._backlog])
        self.log_reader = EventLogReader(path)
        self.policy = AccessPolicy(
            password=password,
            token=token,
            session_s=session_s,
            hosts=hosts,
            cors_origins=cors_origins,
            trusted_proxies=trusted_proxies,
            settings=settings,
        )
        self.server = WebServer(
            host=host,
            port=port,
            tls=tls,
            policy=self.policy,
            max_viewers=max_viewers,
            sources=WebSources(
                views=self.views,
                feed=self.feed,
                log_reader=self.log_reader,
                totals=lambda: self.totals,
                report=self,
                stills=StillReader(_stills, max_faces=32),
                calibration=Calibrator(),
                settings=SettingsEditor(ConfigSource(None), SimpleQueue(), threading.Event()),
                metrics=lambda: (METRICS, "text/plain; version=0.0.4; charset=utf-8"),
                observe=lambda stage, took_s: self.encoded.append(stage),
            ),
            on_failure=self.failures.append,
        )

    def start(self) -> None:
        self._logger.start()
        self.server.start()

    def stop(self) -> None:
        self.server.stop()
        self._backlog.close()
        if self._logger.ident is None:
            self._log.run()  # closes the file
        else:
            self._logger.join()

    def state(self) -> dict[str, Any]:
        return {
            "version": "0.0",
            "time": datetime.now(UTC).isoformat(),
            "camera": self.camera,
            "model": {"name": "small", "sha256": "0123456789abcdef", "labels": list(LABELS)},
            "detector": "blazeface",
            "runtime": "litert",
            "fps": 12.34,
            "latency_ms": 20.0,
            "viewers": self.server.viewers,
            "uptime_s": time.monotonic() - self._started_s,
            "board": {
                "temperatures_c": {"thermal_zone0 cpu-thermal": 51.5},
                "limits": ["under_voltage"],
                "limits_before": ["under_voltage"],
                "slowed_down": True,
            },
            **self.facts,
        }

    def faces(self, shown: View) -> dict[str, Any]:
        height, width = shown.frame.bgr.shape[:2]
        found = self.seen or [
            {
                "id": face.id,
                "label": face.label,
                "score": face.score,
                "scores": dict(zip(LABELS, face.scores, strict=False)),
                "box": list(face.box),
                "since_s": 0.0,
                "detection_score": face.detection_score,
            }
            for face in shown.faces
        ]
        return {"size": [width, height], "notice": shown.notice, "faces": found}

    def healthy(self) -> tuple[bool, str]:
        return self.health

    def happens(self, kind: str, at: datetime | None = None, **fields: Any) -> None:
        """Add an event to the log, which writes it to the disk soon after."""
        self.feed.put(Event(at or datetime.now(UTC), kind, COMMON | fields))

    def until_logged(self, count: int) -> None:
        until(lambda: self._log.status.written >= count)

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request; header names have _ for -."""
        return self.send(path, method, None, headers)

    def send(
        self, path: str, method: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        with closing(self._asked(path, method, body, headers)) as response:
            return Answer(response.status, response.headers, response.read())

    def _asked(
        self, path: str, method: str, body: bytes | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=DEADLINE_S)
        connection.request(method, path, body, {"Connection": "close", **named})
        return connection.getresponse()

    @contextmanager
    def watch(self, path: str = "/stream.mjpg", **headers: str) -> Iterator[HTTPResponse]:
        with closing(self._asked(path, "GET", None, headers)) as response:
            assert response.status == 200
            yield response

    def until_watched_by(self, count: int) -> None:
        """Wait for a number of viewers; the server notices a lost one when it sends a picture."""

        def watched() -> bool:
            self.views.put(view(1))
            return self.server.viewers == count

        until(watched)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), DEADLINE_S)

    def next_view(self, number: int, size: tuple[int, int]) -> View:
        return view(number, size)

    @contextmanager
    def camera_running(self, size: tuple[int, int] = (160, 120), fps: float = 50) -> Iterator[None]:
        """Publish views until the end of the block."""
        ended = threading.Event()

        def run() -> None:
            number = 1
            while not ended.wait(1 / fps):
                number += 1
                self.views.put(self.next_view(number, size))

        feeder = threading.Thread(target=run)
        feeder.start()
        try:
            yield
        finally:
            ended.set()
            feeder.join()


@contextmanager
def served(folder: Path, first: View, *, max_viewers: int = 3) -> Iterator[Site]:
    """Yield a site that shows `first`; fails if a thread or viewer remains at the end."""
    threads = set(threading.enumerate())
    site = Site(folder, max_viewers=max_viewers)
    site.start()
    site.views.put(first)
    yield site
    site.stop()
    assert set(threading.enumerate()) <= threads
    assert site.server.viewers == 0
