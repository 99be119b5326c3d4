"""A URL in, its content out, or one sentence on why it cannot be had."""

from __future__ import annotations

import urllib.request
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError

from edge_daemon.core.errors import reason_of

TIMEOUT_S: Final = 30.0


class FetchError(RuntimeError):
    """What a URL leads to cannot be had at present; the message names it and says why."""


def fetch(url: str, most_bytes: int) -> bytes:
    """What the http or https `url` answers; raises FetchError, also beyond `most_bytes`."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - http(s), by schema
            content: bytes = answer.read(most_bytes + 1)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: no URL, or no name in it
        raise FetchError(f"{url}: {_reason(error)}") from error
    if len(content) > most_bytes:
        raise FetchError(f"{url} has more than {most_bytes:,} bytes")
    return content


def _reason(error: Exception) -> str:
    """urllib wraps the error of the connection into one of its own."""
    cause = error if isinstance(error, HTTPError) else getattr(error, "reason", error)
    return reason_of(cause if isinstance(cause, BaseException) else error)
