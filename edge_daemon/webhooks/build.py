"""Builds webhooks from the configuration."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Final

from edge_daemon.config.network import WebhookConfig
from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.files import read_file
from edge_daemon.events.build import build_history, log_file
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.tail import EventFollower, PositionFile
from edge_daemon.webhooks.delivery import Webhook, WebhookDelivery

MAX_FILE_BYTES: Final = 100_000
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - of Standard Webhooks; what follows is base64


class WebhookError(UserError):
    """A webhook cannot be used until the user fixes something; the message says what."""


def build_deliveries(config: Config, feed: EventFeed) -> list[WebhookDelivery]:
    """Build a delivery for each webhook. Raises WebhookError."""
    path = log_file(config)
    deliveries = []
    for each in config.webhooks:
        webhook = _webhook(each)
        # Another URL begins with the events from then on.
        digest = hashlib.sha256(webhook.url.encode()).hexdigest()[:8]
        deliveries.append(
            WebhookDelivery(
                webhook,
                follower=EventFollower(feed=feed, history=build_history(config)),
                file=PositionFile(path.with_suffix(f".webhook-{digest}") if path else None),
                newest_id=lambda: feed.last_id,
            )
        )
    return deliveries


def _webhook(config: WebhookConfig) -> Webhook:
    return Webhook(
        url=config.url,
        types=frozenset(config.types),
        labels=frozenset(config.labels),
        min_score=config.min_score,
        template=config.template,
        content_type=config.content_type,
        headers=_headers(config.headers_file) if config.headers_file else None,
        secret=_secret(config.secret_file) if config.secret_file else b"",
    )


def _headers(name: str) -> dict[str, str]:
    """Read a file of header lines, such as `Authorization: Bearer …`."""
    headers = {}
    for number, line in enumerate(_private_text(name).splitlines(), 1):
        key, colon, value = line.partition(":")
        if not colon or not key.strip().replace("-", "").isalnum() or not value.isprintable():
            raise WebhookError(f"{name}, line {number}: expected a header as in `Name: value`.")
        headers[key.strip()] = value.strip()
    return headers


def _secret(name: str) -> bytes:
    text = _private_text(name).strip()
    if not text:
        raise WebhookError(f"{name}: the secret is empty; fix: openssl rand -hex 32 > {name}")
    if not text.startswith(SECRET_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError as error:
        raise WebhookError(f"{name}: what follows {SECRET_PREFIX} is not base64.") from error


def _private_text(name: str) -> str:
    """Read a file that others may not read."""
    try:
        if Path(name).stat().st_mode & 0o007:
            raise WebhookError(f"{name}: others may read this secret; fix: chmod o= {name}")
        return read_file(Path(name), max_bytes=MAX_FILE_BYTES).decode()
    except (OSError, ValueError) as error:
        raise WebhookError(f"{name}: cannot be read: {reason_of(error)}.") from error
