"""A receiver of webhooks, and a log whose events are posted to it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from edge_daemon.config.schema import Config
from edge_daemon.core.slots import Backlog
from edge_daemon.events.build import build_log_reader
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.web.server.listener import Tls
from edge_daemon.webhooks.build import build_deliveries
from edge_daemon.webhooks.delivery import WebhookDelivery
from support.loopback_server import HttpServed


@dataclass(frozen=True)
class Posted:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Receiver(HttpServed):
    """A server that answers with the statuses given, then with 204; use as a context manager.

    `headers` are those of all its answers.
    """

    def __init__(self, *statuses: int, headers: dict[str, str] | None = None) -> None:
        self.posted: list[Posted] = []
        self.statuses = list(statuses)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                names = {name.lower(): value for name, value in self.headers.items()}
                receiver.posted.append(Posted(self.path, names, body))
                status = receiver.statuses.pop(0) if receiver.statuses else 204
                if status:
                    self.send_response_only(status)
                    for name, value in (headers or {}).items():
                        self.send_header(name, value)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)
        self.url = f"{self.base_url}/hook/s3cret?key=hidden"

    def use_tls(self, tls: Tls) -> None:
        """Serve HTTPS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)

    @property
    def numbers(self) -> list[int]:
        return [each.event["n"] for each in self.posted]


class WebhookSite:
    """A real log and its webhooks."""

    def __init__(self, folder: Path, **webhook: Any) -> None:
        path = folder / "events.jsonl"
        values = {"events": {"path": str(path)}, "webhooks": [webhook]}
        self._config = Config.model_validate(values)
        self._log = RotatingLog(path, LogPolicy(rotate_bytes=20_000))
        self._written: Backlog[Event] = Backlog(1)
        self.feed = EventFeed([self._written], build_log_reader(self._config).last_id())
        self.delivery = self._build()

    def _build(self) -> WebhookDelivery:
        (delivery,) = build_deliveries(self._config, self.feed)
        self.feed.listen(delivery.wake)
        return delivery

    def happens(self, kind: str = "face_start", **fields: Any) -> None:
        self.feed.put(Event(datetime.now(UTC), kind, {"run": "1", **fields}))
        if event := self._written.get(0.0):
            self._log.append(event.as_line().encode())

    @contextmanager
    def running(self) -> Iterator[WebhookDelivery]:
        """The delivery in its thread; each time a new one, as after a restart."""
        delivery = self.delivery
        thread = threading.Thread(target=delivery.run)
        thread.start()
        try:
            yield delivery
        finally:
            delivery.close()
            thread.join()
            self.delivery = self._build()
            self._log.close()
