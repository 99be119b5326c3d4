"""Tests webhooks over TLS: certificates of one's own, out of date, and none."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.certificate import make_certificate
from support.waiting import until
from support.webhook_receiver import Receiver, WebhookSite


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
        site = WebhookSite(tmp_path, url=url, tls_ca=str(tls.certificate))
        with site.running() as delivery:
            site.happens(n=0)
            trouble = until(lambda: delivery.status.trouble)
    reason += " by the clock of this computer, which shows 20"
    assert trouble.startswith(f"its certificate is not trusted: {reason}")


def test_a_receiver_without_tls_is_named_as_such(tmp_path: Path) -> None:
    with Receiver() as receiver:
        site = WebhookSite(tmp_path, url=receiver.url.replace("http://", "https://"))
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
        site = WebhookSite(tmp_path, url=url)
        with site.running() as delivery:
            site.happens(n=0)
            trouble = until(lambda: delivery.status.trouble)
            assert trouble == "its certificate is not trusted; tls_ca can name who signed it"
        assert receiver.posted == []
        trusting = WebhookSite(tmp_path, url=url, tls_ca=str(tls.certificate))
        with trusting.running():
            until(lambda: receiver.numbers == [0])
