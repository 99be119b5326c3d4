"""Builds webhooks from the configuration."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Final

from edge_daemon.config.network import WebhookConfig
from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.files import read_file
from edge_daemon.events.build import build_log_reader, log_file
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.tail import EventFollower, PositionFile
from edge_daemon.webhooks.delivery import OWN_HEADERS, PLACEHOLDER, Webhook, WebhookDelivery

MAX_FILE_BYTES: Final = 100_000
HEADER_NAME: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
EVENT_FIELDS: Final = frozenset({
    "schema", "id", "time", "type", "camera", "run", "model", "version", "reason", "cause",
    "duration_s", "face", "label", "previous", "score", "scores", "box", "detection_score",
    "frame_size", "jump_s",
})  # fmt: skip
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - of Standard Webhooks; what follows is base64

log = logging.getLogger(__name__)


class WebhookError(UserError):
    """A webhook cannot be used until the user fixes something, which the message names."""


def check_webhooks(config: Config) -> None:
    """Read the files that the webhooks name. Raises WebhookError."""
    for number, each in enumerate(config.webhooks):
        _webhook(each, number)


def build_deliveries(config: Config, feed: EventFeed) -> list[WebhookDelivery]:
    """Build a delivery for each webhook. Raises WebhookError."""
    path = log_file(config)
    deliveries, uses = [], Counter[str]()
    for number, each in enumerate(config.webhooks):
        webhook = _webhook(each, number)
        # Another URL begins with the events from then on; several of one URL are told apart.
        digest = hashlib.sha256(webhook.url.encode()).hexdigest()[:8]
        uses[digest] += 1
        name = digest if uses[digest] == 1 else f"{digest}-{uses[digest]}"
        deliveries.append(
            WebhookDelivery(
                webhook,
                follower=EventFollower(feed=feed, reader=build_log_reader(config)),
                file=PositionFile(path.with_suffix(f".webhook-{name}") if path else None),
                newest_id=lambda: feed.last_id,
            )
        )
    return deliveries


def _webhook(config: WebhookConfig, number: int) -> Webhook:
    for name in sorted(set(PLACEHOLDER.findall(config.template)) - EVENT_FIELDS):
        log.warning(
            "webhooks[%d].template: no event has a field %r, so nothing stands there", number, name
        )
    if config.tls_ca and not Path(config.tls_ca).is_file():
        raise WebhookError(f"webhooks[{number}].tls_ca: {config.tls_ca} is not a file.")
    return Webhook(
        url=config.url,
        types=frozenset(config.types),
        labels=frozenset(config.labels),
        min_score=config.min_score,
        template=config.template,
        content_type=config.content_type,
        headers=_headers(config.headers_file) if config.headers_file else None,
        secret=_secret(config.secret_file) if config.secret_file else b"",
        tls_ca=config.tls_ca,
    )


def _headers(name: str) -> dict[str, str]:
    """Read a file of header lines, such as `Authorization: Bearer …`."""
    headers = {}
    for number, line in enumerate(_private_text(name).splitlines(), 1):
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        if not colon or not HEADER_NAME.fullmatch(key):
            raise WebhookError(f"{name}, line {number}: expected a header as in `Name: value`.")
        if not (value.isascii() and value.isprintable()):
            raise WebhookError(f"{name}, line {number}: the value is not plain ASCII text.")
        if key.lower() in OWN_HEADERS:
            raise WebhookError(f"{name}, line {number}: the daemon sets {key} itself; remove it.")
        headers[key] = value
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
        raise WebhookError(
            f"{name}: the text after {SECRET_PREFIX} is not base64; copy the whole secret."
        ) from error


def _private_text(name: str) -> str:
    """Read a file; refuse it if other users may read it too."""
    try:
        if Path(name).stat().st_mode & 0o007:
            raise WebhookError(f"{name}: others may read this secret; fix: chmod o= {name}")
        return read_file(Path(name), max_bytes=MAX_FILE_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise WebhookError(f"{name}: cannot be read: {reason_of(error)}.") from error
