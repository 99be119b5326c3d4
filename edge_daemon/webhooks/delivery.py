"""Posts the events of the log to a URL, each until the receiver accepts it.

Like MQTT, a webhook follows the log and stores its position in it: nothing is copied, and no event
is lost while it is in the log. Requests are signed according to Standard Webhooks
(https://github.com/standard-webhooks/standard-webhooks).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

import requests

from edge_daemon import __version__
from edge_daemon.core.backoff import BackOff
from edge_daemon.core.errors import reason_of
from edge_daemon.events.log_reader import Entry, id_order
from edge_daemon.events.tail import EventFollower, Position, PositionFile

TIMEOUT_S: Final = (5.0, 10.0)  # to connect, and between two parts of the answer
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 300.0
MAX_RETRY_AFTER_S: Final = 3600.0
CLOCK_GAP_S: Final = 60.0  # libraries accept signatures up to five minutes old
SAVE_S: Final = 10.0  # how often a position that moves is saved
BATCH: Final = 50
TICK_S: Final = 1.0
# The receiver understood the request, and will never accept this event.
REFUSALS: Final = frozenset({400, 405, 413, 414, 415, 422})
# Of OpenSSL's verification: who signed the certificate is unknown.
UNKNOWN_SIGNER: Final = frozenset({2, 18, 19, 20, 21})
# Those that may not be given by the user, in lower case.
OWN_HEADERS: Final = frozenset({
    "content-length", "transfer-encoding", "webhook-id", "webhook-timestamp", "webhook-signature",
    "mien-redelivered",
})  # fmt: skip
PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Webhook:
    """The receiver of a webhook, the events that it gets, and the form of the requests.

    Empty `types` and `labels` stand for all. In `template`, {name} is replaced by the field of that
    name, written as `content_type` needs it; an empty one posts the event itself. `secret` signs
    requests; `tls_ca` is a file of certificates to trust instead of the public authorities.
    """

    url: str
    types: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    min_score: float = 0.0
    template: str = ""
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None
    secret: bytes = b""
    tls_ca: str = ""

    @property
    def host(self) -> str:
        """The receiver's name in messages; the rest of the URL may be secret."""
        parts = urlsplit(self.url)
        return parts.hostname or ""

    def selects(self, event: Mapping[str, Any]) -> bool:
        """Return whether the event is to be posted."""
        score = event.get("score")
        return (
            (not self.types or str(event.get("type")) in self.types)
            and (not self.labels or str(event.get("label")) in self.labels)
            and (not isinstance(score, int | float) or score >= self.min_score)
        )

    def body(self, entry: Entry) -> bytes:
        """Return the request's body for an event."""
        event = {"id": entry.id, **entry.event}
        if not self.template:
            return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()

        def value(found: re.Match[str]) -> str:
            text = event.get(found[1], "")
            text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
            if "json" in self.content_type:
                return json.dumps(text, ensure_ascii=False)[1:-1]
            return quote_plus(text) if "urlencoded" in self.content_type else text

        return PLACEHOLDER.sub(value, self.template).encode()


@dataclass(frozen=True, slots=True)
class WebhookStatus:
    """The state of a webhook; `trouble` says why its receiver does not accept events, or is "".

    The counts are of events since the start. `redelivered` ones may have reached the receiver
    twice; `refused` ones will never be accepted.
    """

    host: str
    trouble: str = ""
    delivered: int = 0
    redelivered: int = 0
    refused: int = 0


class _TryLaterError(Exception):
    """The receiver does not accept events now; `wait_s` is the delay it asks for, 0 if none."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class WebhookDelivery:
    """Posts the events after the saved position, one at a time, in order.

    `newest_id` returns the id of the newest event.
    """

    def __init__(
        self,
        webhook: Webhook,
        *,
        follower: EventFollower,
        file: PositionFile,
        newest_id: Callable[[], str],
    ) -> None:
        self._webhook, self._follower, self._file = webhook, follower, file
        position = file.load(newest_id())
        follower.go_back(min(position.acknowledged, newest_id(), key=id_order))
        self._doubtful = position.sent  # events up to this one may have been posted before
        self._position = follower.last_id
        self._trouble = ""
        self._delivered = self._redelivered = self._refused = 0
        self._saved, self._saved_s = "", 0.0
        self._wake, self._closing = threading.Event(), threading.Event()
        self._session = requests.Session()
        self._session.trust_env = False  # neither proxies nor passwords of the environment
        self._session.verify = webhook.tls_ca or True

    @property
    def status(self) -> WebhookStatus:
        """The state and the counts of this webhook."""
        return WebhookStatus(
            self._webhook.host, self._trouble, self._delivered, self._redelivered, self._refused
        )

    def wake(self) -> None:
        """Have new events posted at once; never blocks."""
        self._wake.set()

    def close(self) -> None:
        """Make the thread end after its current request."""
        self._closing.set()
        self._wake.set()

    def run(self) -> None:
        """Post events until closed: the body of the thread."""
        back_off = BackOff(first_s=FIRST_RETRY_S, last_s=LAST_RETRY_S)
        self._save(is_sending=True)
        while not self._closing.is_set():
            try:
                is_done = self._post_batch()
            except _TryLaterError as error:
                self._set_trouble(str(error))
                self._follower.go_back(self._position)
                self._closing.wait(max(back_off.next_s(), error.wait_s))
                continue
            back_off.reset()
            self._save_if_due()
            if is_done:
                self._wake.wait(TICK_S)
                self._wake.clear()
        self._save(is_sending=False)
        self._session.close()

    def _post_batch(self) -> bool:
        """Post the next events; return whether there are no more. Raises _TryLaterError."""
        entries = self._follower.take(BATCH)
        for entry in entries:
            if self._webhook.selects(entry.event):
                self._post(entry)
            self._position = entry.id
            if self._closing.is_set():
                break
        return len(entries) < BATCH

    def _post(self, entry: Entry) -> None:
        is_redelivered = id_order(entry.id) <= id_order(self._doubtful)
        self._doubtful = max(self._doubtful, entry.id, key=id_order)
        body = self._webhook.body(entry)
        try:
            with self._session.post(
                self._webhook.url,
                data=body,
                headers=self._headers(entry, body, is_redelivered=is_redelivered),
                timeout=TIMEOUT_S,
                allow_redirects=False,
                stream=True,  # the answer's body is not read
            ) as answer:
                self._judge(answer, is_redelivered=is_redelivered)
        except (requests.RequestException, OSError, ValueError) as error:
            raise _TryLaterError(_reason_of(error)) from error

    def _judge(self, answer: requests.Response, *, is_redelivered: bool) -> None:
        """Count an accepted or refused event. Raises _TryLaterError for all other answers."""
        status = answer.status_code
        if 200 <= status < 300:
            self._delivered += 1
            self._redelivered += is_redelivered
            self._set_trouble("")
        elif status in REFUSALS:
            self._check_clocks(answer)
            self._refused += 1
            log.warning("webhook %s: refuses an event: HTTP %d", self._webhook.host, status)
        elif 300 <= status < 400:
            raise _TryLaterError(f"HTTP {status}: redirects are not followed; change the url")
        else:
            raise _TryLaterError(f"HTTP {status}", _retry_after_s(answer))

    def _check_clocks(self, answer: requests.Response) -> None:
        """Raise _TryLaterError if a signed event may be refused only for the time of its signature.

        Receivers have to refuse old signatures, and a board may start with an old clock.
        """
        gap_s = abs(_seconds_until(answer.headers.get("Date", "")) or 0.0)
        if self._webhook.secret and gap_s > CLOCK_GAP_S:
            raise _TryLaterError(
                f"HTTP {answer.status_code}, perhaps as its clock and the one of this computer "
                f"differ by {gap_s:,.0f} s"
            )

    def _headers(self, entry: Entry, body: bytes, *, is_redelivered: bool) -> dict[str, str]:
        """Return the headers of the request; the id is the same when an event is posted again."""
        id_, sent_at = f"{entry.event.get('run', '')}-{entry.id}", str(int(time.time()))
        headers = {
            "Content-Type": self._webhook.content_type,
            "User-Agent": f"mien/{__version__}",
            "webhook-id": id_,
            "webhook-timestamp": sent_at,
            **(self._webhook.headers or {}),
        }
        if is_redelivered:
            headers["Mien-Redelivered"] = "true"
        if self._webhook.secret:
            signed = f"{id_}.{sent_at}.".encode() + body
            digest = hmac.new(self._webhook.secret, signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return headers

    def _set_trouble(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.warning("webhook %s: %s; events wait in the log", self._webhook.host, trouble)
        elif self._trouble and not trouble:
            log.info("webhook %s: events are accepted again", self._webhook.host)
        self._trouble = trouble

    def _save_if_due(self) -> None:
        if time.monotonic() - self._saved_s >= SAVE_S and self._saved != self._position:
            self._save(is_sending=True)

    def _save(self, *, is_sending: bool) -> None:
        self._saved, self._saved_s = self._position, time.monotonic()
        doubtful = max(self._doubtful, self._position, key=id_order)
        self._file.save(Position(self._position, doubtful), is_sending=is_sending)


def _retry_after_s(answer: requests.Response) -> float:
    """Return the seconds of a Retry-After header, within reason; 0 if there is none."""
    text = answer.headers.get("Retry-After", "")
    if text.isdecimal() and len(text) < 10:
        return min(float(text), MAX_RETRY_AFTER_S)
    return min(max(_seconds_until(text) or 0.0, 0.0), MAX_RETRY_AFTER_S)


def _seconds_until(date: str) -> float | None:
    """Return the seconds from now to a date in a header; None if it is none."""
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _reason_of(error: Exception) -> str:
    """Return the reason without the URL, which may hold a secret."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return _tls_reason(error)
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return (
        type(error).__name__ if isinstance(error, requests.RequestException) else reason_of(error)
    )


def _tls_reason(error: BaseException) -> str:
    """Return the reason of the original error, which two libraries wrap into their own."""
    while not isinstance(error, ssl.SSLError):
        inner = error.__cause__ or error.__context__
        if inner is None:
            return reason_of(error)
        error = inner
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"no TLS connection: {reason_of(error)}"
    if error.verify_code in UNKNOWN_SIGNER:
        return "its certificate is not trusted; tls_ca can name who signed it"
    return f"its certificate is not trusted: {reason_of(error)}"
