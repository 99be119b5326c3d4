"""Fetches files over HTTP."""

from __future__ import annotations

import urllib.request
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError

from edge_daemon.core.errors import UserError, reason_of

TIMEOUT_S: Final = 30.0


class FetchError(UserError):
    """A URL cannot be fetched now; the message names it and says why."""


def fetch(url: str, max_bytes: int) -> bytes:
    """Return the content of the http or https `url`.

    Raises FetchError, also if there are more than `max_bytes`.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - http(s), by schema
            content: bytes = answer.read(max_bytes + 1)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: not a URL
        raise FetchError(f"{url}: {_reason_of(error)}") from error
    if len(content) > max_bytes:
        raise FetchError(f"{url} has more than {max_bytes:,} bytes")
    return content


def _reason_of(error: Exception) -> str:
    """Return the reason of the original error, which urllib wraps into its own."""
    cause = error if isinstance(error, HTTPError) else getattr(error, "reason", error)
    return reason_of(cause if isinstance(cause, BaseException) else error)
