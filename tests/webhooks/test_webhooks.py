"""Tests webhooks with a real receiver: bodies, order, no loss, and no redirects."""

from __future__ import annotations

import base64
import hashlib
import hmac
import signal
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import pytest
from support.daemon import Daemon
from support.waiting import until
from support.webhook_receiver import Receiver, WebhookSite

from edge_daemon.config.schema import Config
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.webhooks.build import build_deliveries


def test_events_are_posted_as_they_are_and_in_order(tmp_path: Path) -> None:
    with Receiver() as receiver:
        site = WebhookSite(tmp_path, url=receiver.url)
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
        site = WebhookSite(
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
        site = WebhookSite(tmp_path, url=receiver.url)
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
        site = WebhookSite(tmp_path, url=receiver.url)
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
        site = WebhookSite(tmp_path, url=receiver.url)
        with site.running() as delivery:
            for n in range(4):
                site.happens(n=n)
            until(lambda: delivery.status.delivered == 2)
            assert delivery.status.refused == 2
    assert receiver.numbers == [0, 1, 2, 3]


def test_no_signed_event_is_lost_to_a_wrong_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Receivers refuse old signatures, and answers have a Date."""
    monkeypatch.setattr("edge_daemon.webhooks.delivery.FIRST_RETRY_S", 0.02)
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef\n")
    secret.chmod(0o600)
    headers = {"Date": "Fri, 31 Dec 2100 23:59:59 GMT"}
    with Receiver(400, 400, headers=headers) as receiver:
        site = WebhookSite(tmp_path, url=receiver.url, secret_file=str(secret))
        with site.running() as delivery:
            site.happens(n=0)
            until(lambda: delivery.status.delivered == 1)
        assert delivery.status.refused == 0
    assert receiver.numbers == [0, 0, 0]
    assert "its clock and the one of this computer differ by 2," in caplog.text


def test_redirects_are_not_followed(tmp_path: Path) -> None:
    with (
        Receiver() as other,
        Receiver(*[307] * 50, headers={"Location": other.url}) as receiver,
    ):
        site = WebhookSite(tmp_path, url=receiver.url)
        with site.running() as delivery:
            site.happens(n=0)
            trouble = until(lambda: delivery.status.trouble)
            assert "redirects are not followed" in trouble
    assert not other.posted


def test_a_receiver_says_how_long_to_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Receiver(503, headers={"Retry-After": "3600"}) as receiver:
        site = WebhookSite(tmp_path, url=receiver.url)
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
        site = WebhookSite(
            tmp_path, url=receiver.url, secret_file=str(secret), headers_file=str(headers)
        )
        with site.running():
            site.happens(n=0)
            (posted,) = until(lambda: list(receiver.posted))
    signed = f"{posted.headers['webhook-id']}.{posted.headers['webhook-timestamp']}.".encode()
    digest = hmac.new(b"a secret of some bytes", signed + posted.body, hashlib.sha256).digest()
    assert posted.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert abs(int(posted.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert posted.headers["authorization"] == "Bearer t0ken"
    assert posted.headers["x-site"] == "shop"


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
        site = WebhookSite(tmp_path, url=receiver.url)
        with site.running() as delivery:
            site.happens(n=0)
            until(lambda: delivery.status.trouble == "HTTP 503")
            assert not receiver_gets_more(receiver)


def receiver_gets_more(receiver: Receiver) -> bool:
    """Return whether a request comes again soon."""
    with suppress(AssertionError):
        until(lambda: len(receiver.posted) > 1, timeout_s=0.4)
    return len(receiver.posted) > 1


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
