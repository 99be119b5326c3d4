"""Tests webhooks with a real receiver: bodies, order, no loss, and no redirects."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import signal
import ssl
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from support.certificate import make_certificate
from support.daemon import Daemon
from support.loopback_server import HttpServed
from support.paths import ROOT
from support.waiting import until

from edge_daemon.commands import main
from edge_daemon.config.file import ConfigError, load_config
from edge_daemon.config.network import EventType
from edge_daemon.config.schema import Config
from edge_daemon.core.slots import Backlog
from edge_daemon.events.build import build_log_reader
from edge_daemon.events.events import TYPES, Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.web.server.listener import Tls
from edge_daemon.webhooks.build import EVENT_FIELDS, WebhookError, build_deliveries
from edge_daemon.webhooks.delivery import WebhookDelivery


@dataclass(frozen=True)
class Posted:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Receiver(HttpServed):
    """A server that answers with the statuses given, then with 204; use as a context manager."""

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
                    self.send_response(status)
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


class Site:
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
        delivery, self.delivery = self.delivery, self.delivery
        thread = threading.Thread(target=delivery.run)
        thread.start()
        try:
            yield delivery
        finally:
            delivery.close()
            thread.join()
            self.delivery = self._build()
            self._log.close()


def test_events_are_posted_as_they_are_and_in_order(tmp_path: Path) -> None:
    with Receiver() as receiver:
        site = Site(tmp_path, url=receiver.url)
        with site.running() as delivery:
            for n in range(30):
                site.happens(n=n, label="happy")
            until(lambda: len(receiver.posted) == 30)
            until(lambda: delivery.status.delivered == 30)
    assert receiver.numbers == list(range(30))
    first = receiver.posted[0]
    assert first.path == "/hook/s3cret?key=hidden"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["webhook-id"] == f"1-{first.event['id']}"
    assert (first.event["type"], first.event["label"]) == ("face_start", "happy")
    assert not any("mien-redelivered" in each.headers for each in receiver.posted)


def test_only_what_is_selected_is_posted(tmp_path: Path) -> None:
    with Receiver() as receiver:
        site = Site(
            tmp_path, url=receiver.url, types=["expression_start"], labels=["sad"], min_score=0.6
        )
        with site.running():
            site.happens("face_start", n=1)
            site.happens("expression_start", n=2, label="sad", score=0.5)
            site.happens("expression_start", n=3, label="happy", score=0.9)
            site.happens("expression_start", n=4, label="sad", score=0.9)
            site.happens("expression_end", n=5, label="sad", score=0.9)
            site.happens("expression_start", n=6, label="sad", score=0.6)
            until(lambda: len(receiver.posted) == 2)
    assert receiver.numbers == [4, 6]


@pytest.mark.parametrize("failures", [(500, 503, 429), (0, 502), (301, 401)])
def test_nothing_is_lost_over_an_outage_and_order_is_kept(
    tmp_path: Path, failures: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_daemon.webhooks.delivery.FIRST_RETRY_S", 0.02)
    with Receiver(204, *failures) as receiver:
        site = Site(tmp_path, url=receiver.url)
        with site.running() as delivery:
            for n in range(5):
                site.happens(n=n)
            until(lambda: delivery.status.delivered == 5)
            assert delivery.status.trouble == ""
    assert list(dict.fromkeys(receiver.numbers)) == list(range(5))
    assert receiver.numbers == sorted(receiver.numbers)
    again = [each for each in receiver.posted if "mien-redelivered" in each.headers]
    assert [each.event["n"] for each in again] == [1] * len(failures)


def test_events_of_an_outage_are_posted_after_a_restart(tmp_path: Path) -> None:
    with Receiver() as receiver:
        site = Site(tmp_path, url=receiver.url)
        with site.running():
            site.happens(n=0)
            until(lambda: receiver.numbers == [0])
        for n in range(1, 500):  # more than memory keeps, over several files
            site.happens(n=n)
        with site.running():
            until(lambda: len(receiver.posted) == 500)
    assert receiver.numbers == list(range(500))
    assert len(list(tmp_path.glob("events.0*"))) > 1


def test_a_receiver_that_refuses_an_event_gets_the_next(tmp_path: Path) -> None:
    with Receiver(400, 413) as receiver:
        site = Site(tmp_path, url=receiver.url)
        with site.running() as delivery:
            for n in range(4):
                site.happens(n=n)
            until(lambda: delivery.status.delivered == 2)
            assert delivery.status.refused == 2
    assert receiver.numbers == [0, 1, 2, 3]


def test_redirects_are_not_followed(tmp_path: Path) -> None:
    with (
        Receiver() as other,
        Receiver(*[307] * 50, headers={"Location": other.url}) as receiver,
    ):
        site = Site(tmp_path, url=receiver.url)
        with site.running() as delivery:
            site.happens(n=0)
            trouble = until(lambda: delivery.status.trouble)
            assert "redirects are not followed" in trouble
    assert not other.posted


def test_a_receiver_says_how_long_to_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Receiver(503, headers={"Retry-After": "3600"}) as receiver:
        site = Site(tmp_path, url=receiver.url)
        with site.running() as delivery:
            site.happens(n=0)
            until(lambda: delivery.status.trouble == "HTTP 503")
        assert len(receiver.posted) == 1  # and the stop does not wait for the hour
    assert "hidden" not in caplog.text
    assert "s3cret" not in caplog.text


def test_requests_are_signed(tmp_path: Path) -> None:
    secret, headers = tmp_path / "secret", tmp_path / "headers"
    secret.write_text("whsec_" + base64.b64encode(b"a secret of some bytes").decode() + "\n")
    headers.write_text("Authorization: Bearer t0ken\nX-Site: shop\n")
    for file in (secret, headers):
        file.chmod(0o600)
    with Receiver() as receiver:
        site = Site(tmp_path, url=receiver.url, secret_file=str(secret), headers_file=str(headers))
        with site.running():
            site.happens(n=0)
            (posted,) = until(lambda: list(receiver.posted))
    signed = f"{posted.headers['webhook-id']}.{posted.headers['webhook-timestamp']}.".encode()
    digest = hmac.new(b"a secret of some bytes", signed + posted.body, hashlib.sha256).digest()
    assert posted.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert abs(int(posted.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert posted.headers["authorization"] == "Bearer t0ken"
    assert posted.headers["x-site"] == "shop"


@pytest.mark.parametrize(
    ("template", "content_type", "expected"),
    [
        ('{"text": "{camera}: {label} ({score})"}', "application/json",
         b'{"text": "Door \\"1\\": happy (0.5)"}'),
        ("{camera}: {label}, {none}", "text/plain", b'Door "1": happy, '),
        ("text={camera}&label={label}&at=100%", "application/x-www-form-urlencoded",
         b"text=Door+%221%22&label=happy&at=100%"),
    ],
)  # fmt: skip
def test_a_template_makes_what_another_service_wants(
    tmp_path: Path, template: str, content_type: str, expected: bytes
) -> None:
    with Receiver() as receiver:
        site = Site(tmp_path, url=receiver.url, template=template, content_type=content_type)
        with site.running():
            site.happens(camera='Door "1"', label="happy", score=0.5)
            (posted,) = until(lambda: list(receiver.posted))
    assert posted.body == expected
    assert posted.headers["content-type"] == content_type


def test_secrets_that_others_may_read_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o644)
    with pytest.raises(WebhookError, match=f"fix: chmod o= {secret}"):
        Site(tmp_path, url="http://127.0.0.1/", secret_file=str(secret))
    secret.chmod(0o600)
    secret.write_text("")
    with pytest.raises(WebhookError, match="the secret is empty"):
        Site(tmp_path, url="http://127.0.0.1/", secret_file=str(secret))
    with pytest.raises(WebhookError, match="No such file"):
        Site(tmp_path, url="http://127.0.0.1/", headers_file=str(tmp_path / "none"))
    for text, reason in (
        ("no header", "line 1: expected a header"),
        ("X-A: b\n\nX Y: c", "line 3: expected a header"),
        ("X-A: b\n folded", "line 2: expected a header"),
        ("X-Ä: b", "line 1: expected a header"),
        ("Authorization: Bearer Schlüssel", "line 1: the value is not plain ASCII text"),
        ("Authorization: a\x00b", "line 1: the value is not plain ASCII text"),
        ("content-length: 3", "line 1: the daemon sets content-length itself"),
    ):
        secret.write_text(text)
        with pytest.raises(WebhookError, match=reason):
            Site(tmp_path, url="http://127.0.0.1/", headers_file=str(secret))


def test_a_header_file_of_another_system_is_read(tmp_path: Path) -> None:
    """With a byte order mark, the line ends of Windows, and empty lines."""
    headers = tmp_path / "headers"
    headers.write_bytes(b"\xef\xbb\xbfAuthorization: Basic a:b \r\n\r\nX-Site:shop\r\n\r\n")
    headers.chmod(0o600)
    with Receiver() as receiver:
        site = Site(tmp_path, url=receiver.url, headers_file=str(headers))
        with site.running():
            site.happens(n=0)
            (posted,) = until(lambda: list(receiver.posted))
    assert posted.headers["authorization"] == "Basic a:b"
    assert posted.headers["x-site"] == "shop"


def test_check_config_reads_the_files_and_names_unknown_fields(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "config.yaml"
    for webhook, said in (
        (
            {"url": "http://x/", "headers_file": str(tmp_path / "none")},
            "none: cannot be read: No such",
        ),
        ({"url": "http://x/", "tls_ca": "none.pem"}, "webhooks[0].tls_ca: none.pem is not a file."),
    ):
        values = {"webhooks": [webhook], "events": {"path": str(tmp_path / "events.jsonl")}}
        config.write_text(
            yaml.safe_dump(values | {"model": str(ROOT / "models/expression.tflite")})
        )
        assert main(["check-config", "--config", str(config)]) == 2
        assert said in capsys.readouterr().err
    Site(tmp_path, url="http://x/", template='{"text": "{lable} {reason} {box}"}')
    assert "webhooks[0].template: no event has a field 'lable'" in caplog.text
    assert "reason" not in caplog.text


def test_the_types_and_fields_are_those_of_events() -> None:
    schema = json.loads((ROOT / "docs/events.schema.json").read_text())["properties"]
    assert get_args(EventType) == tuple(schema["type"]["enum"]) == TYPES
    assert schema.keys() == EVENT_FIELDS


def test_several_webhooks_have_positions_of_their_own(tmp_path: Path) -> None:
    """Of one address, one that is dead, and one that refuses: none holds up another."""
    with Receiver() as good, Receiver(*[500] * 50) as failing:
        path = tmp_path / "events.jsonl"
        hooks = [
            {"url": good.url, "types": ["face_start"]},
            {"url": "http://127.0.0.1:9/"},
            {"url": failing.url},
            {"url": good.url, "types": ["face_end"]},
        ]
        config = Config.model_validate({"events": {"path": str(path)}, "webhooks": hooks})
        feed = EventFeed([], "")
        deliveries = build_deliveries(config, feed)
        threads = [threading.Thread(target=each.run) for each in deliveries]
        for thread in threads:
            thread.start()
        try:
            for n in range(6):
                kind = "face_end" if n % 2 else "face_start"
                feed.put(Event(datetime.now(UTC), kind, {"run": "1", "n": n}))
            until(lambda: len(good.posted) == 6)
            until(lambda: all(each.status.trouble for each in deliveries[1:3]))
        finally:
            for each in deliveries:
                each.close()
            for thread in threads:
                thread.join()
    assert [n for n in good.numbers if n % 2] == [1, 3, 5]
    assert [n for n in good.numbers if not n % 2] == [0, 2, 4]
    assert set(failing.numbers) == {0}
    assert len(list(tmp_path.glob("events.webhook-*"))) == 4


def test_a_date_says_how_long_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_daemon.webhooks.delivery.FIRST_RETRY_S", 0.02)
    at = datetime.now(UTC) + timedelta(minutes=30)
    with Receiver(503, headers={"Retry-After": format_datetime(at, usegmt=True)}) as receiver:
        site = Site(tmp_path, url=receiver.url)
        with site.running() as delivery:
            site.happens(n=0)
            until(lambda: delivery.status.trouble == "HTTP 503")
            assert not receiver_gets_more(receiver)


def receiver_gets_more(receiver: Receiver) -> bool:
    """Return whether a request comes again soon."""
    with suppress(AssertionError):
        until(lambda: len(receiver.posted) > 1, timeout_s=0.4)
    return len(receiver.posted) > 1


@pytest.mark.parametrize(
    ("valid_days", "reason"),
    [((-3, -1), "certificate has expired"), ((1, 3), "certificate is not yet valid")],
)
def test_a_certificate_out_of_date_may_be_due_to_the_clock(
    tmp_path: Path, valid_days: tuple[float, float], reason: str
) -> None:
    """As on a board that has no clock of its own and has just started."""
    tls = make_certificate(tmp_path / "tls", "receiver", valid_days=valid_days)
    with Receiver() as receiver:
        receiver.use_tls(tls)
        url = receiver.url.replace("http://", "https://")
        site = Site(tmp_path, url=url, tls_ca=str(tls.certificate))
        with site.running() as delivery:
            site.happens(n=0)
            trouble = until(lambda: delivery.status.trouble)
    reason += " by the clock of this computer, which shows 20"
    assert trouble.startswith(f"its certificate is not trusted: {reason}")


def test_a_receiver_without_tls_is_named_as_such(tmp_path: Path) -> None:
    with Receiver() as receiver:
        site = Site(tmp_path, url=receiver.url.replace("http://", "https://"))
        with site.running() as delivery:
            site.happens(n=0)
            trouble = until(lambda: delivery.status.trouble)
    assert trouble.startswith("no TLS connection: ")


def test_a_receiver_with_a_certificate_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_daemon.webhooks.delivery.FIRST_RETRY_S", 0.02)
    tls = make_certificate(tmp_path / "tls", "receiver")
    with Receiver() as receiver:
        receiver.use_tls(tls)
        url = receiver.url.replace("http://", "https://")
        site = Site(tmp_path, url=url)
        with site.running() as delivery:
            site.happens(n=0)
            trouble = until(lambda: delivery.status.trouble)
            assert trouble == "its certificate is not trusted; tls_ca can name who signed it"
        assert receiver.posted == []
        trusting = Site(tmp_path, url=url, tls_ca=str(tls.certificate))
        with trusting.running():
            until(lambda: receiver.numbers == [0])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("[{url: ftp://x/}]", r"webhooks\[0\].url"),
        ("[{url: http://x/, color: 1}]", r"webhooks\[0\].color is an unknown key"),
        ("[{types: [a]}]", r"webhooks\[0\].url"),
        ("[{url: http://x/, types: [face_started]}]", r"webhooks\[0\].types.*'face_start'"),
        ("{}", "webhooks"),
    ],
)
def test_a_wrong_setting_is_named(words: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_config(None, [f"webhooks={words}"])


def documented() -> list[str]:
    """Return the webhooks of the page, each as YAML."""
    page = (ROOT / "docs" / "webhooks.md").read_text()
    return [
        textwrap.dedent(found)
        for found in re.findall(r"(?m)^(    webhooks:\n(?:     .+\n)+)", page)
    ]


@pytest.mark.parametrize("text", documented())
def test_the_examples_of_the_page_work(tmp_path: Path, text: str) -> None:
    with Receiver() as receiver:
        url = f"url: {receiver.url}"
        webhook = yaml.safe_load(re.sub("url: .*", url, text))["webhooks"][0]
        site = Site(tmp_path, **webhook)
        with site.running():
            site.happens("camera_lost", camera="Door", reason='it says "no"')
            site.happens("expression_start", camera="Door", label="happy", score=0.9)
            (posted, *_) = until(lambda: list(receiver.posted))
    if posted.headers["content-type"] == "application/json":
        assert json.loads(posted.body)
    else:
        assert posted.body == b"Door: somebody smiles"


def received_more(receiver: Receiver, count: int) -> bool:
    return len(receiver.posted) > count


@pytest.mark.usefixtures("blazeface_dir")
def test_the_daemon_posts_all_of_its_log_over_a_kill(tmp_path: Path) -> None:
    with Receiver() as receiver:
        setting = f'webhooks=[{{url: "{receiver.url}"}}]'
        for number in (signal.SIGKILL, signal.SIGTERM):
            with Daemon(tmp_path, "camera.source=demo", "events.update_s=0.2", setting) as daemon:
                daemon.until(partial(received_more, receiver, len(receiver.posted) + 10))
                (state,) = daemon.state()["webhooks"]
                assert (state["host"], state["trouble"]) == ("127.0.0.1", "")
                assert "mien_webhook_events_delivered_total" in daemon.get("/metrics").decode()
                daemon.stop(number)
        with Daemon(tmp_path, "camera.source=demo", setting) as daemon:
            logged = [event["id"] for event in daemon.events()]
            daemon.until(lambda: logged[-1] in [each.event["id"] for each in receiver.posted])
            assert daemon.stop() == 0
        assert "s3cret" not in "\n".join(daemon.log)
    posted = list(dict.fromkeys(each.event["id"] for each in receiver.posted))
    assert posted[: len(logged)] == logged
