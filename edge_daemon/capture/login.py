"""Logs in to HTTP cameras: parses their challenges and answers the best (RFC 9110, RFC 7616)."""

from __future__ import annotations

import base64
import re
from typing import Any, Final, Protocol
from urllib.request import parse_http_list

from edge_daemon.capture.address import CameraAddress

# The digests that can be computed, the best first; RFC 7616 and what is left of RFC 2617.
_DIGESTS: Final = ("SHA-512", "SHA-256", "SHA", "MD5-SESS", "MD5")

Challenge = tuple[str, dict[str, str]]  # the scheme in lower case, and its parameters


class Authorization:
    """Answers the best challenge that a camera has given."""

    def __init__(self) -> None:
        self._challenge: Challenge | None = None
        self._digest: _Digest | None = None

    def choose(self, challenges: list[Challenge]) -> bool:
        """Take the best of `challenges`; False if none of them can be answered."""
        digests = [
            (_DIGESTS.index(wanted), {"realm": "", **values, "algorithm": wanted, "qop": qop})
            for scheme, values in challenges
            if scheme == "digest" and "nonce" in values
            if (wanted := values.get("algorithm", "MD5").upper()) in _DIGESTS
            if (qop := _qop(values)) is not None
        ]
        if digests:
            self._challenge = "digest", min(digests, key=lambda each: each[0])[1]
        elif any(scheme == "basic" for scheme, _ in challenges):
            self._challenge = "basic", {}
        else:
            return False
        return True

    def header(self, address: CameraAddress) -> str:
        """Return the Authorization header; "" while no challenge is known, or without a user."""
        if self._challenge is None or address.user is None:
            return ""
        scheme, values = self._challenge
        if scheme == "basic":
            login = f"{address.user}:{address.password}".encode()
            return "Basic " + base64.b64encode(login).decode("ascii")
        self._digest = self._digest or _digest(address.user, address.password)
        return self._digest.answer(address.bare_url, values)


class _Digest(Protocol):
    def answer(self, url: str, challenge: dict[str, str]) -> str: ...


def _digest(user: str, password: str) -> _Digest:
    """Compute digests by Requests, which is imported for cameras that ask for one."""
    from requests.auth import HTTPDigestAuth  # noqa: PLC0415

    class RequestsDigest(HTTPDigestAuth):
        _thread_local: Any

        def answer(self, url: str, challenge: dict[str, str]) -> str:
            self.init_per_thread_state()
            self._thread_local.chal = challenge
            return str(self.build_digest_header("GET", url) or "")  # type: ignore[no-untyped-call]

    return RequestsDigest(user, password)


def _qop(values: dict[str, str]) -> str | None:
    """Return the quality of protection to use, "" for none; None if it is not supported."""
    offered = [each.strip().lower() for each in values.get("qop", "").split(",") if each.strip()]
    if not offered:
        return ""
    return "auth" if "auth" in offered else None


def parse_challenges(headers: list[str]) -> list[Challenge]:
    """Parse WWW-Authenticate: several challenges in one header, or each in its own (RFC 9110)."""
    challenges: list[Challenge] = []
    for item in parse_http_list(", ".join(headers)):
        match = re.match(r"\s*([\w!#$%&'*+.^`|~-]+)(?:\s*(=)\s*|\s+|$)(.*)", item, re.DOTALL)
        if match is None:
            continue
        name, equals, value = match.groups()
        if not equals:  # a scheme, perhaps with its first parameter
            challenges.append((name.lower(), {}))
            name, equals, value = re.match(r"([^=\s]*)\s*(=?)\s*(.*)", value, re.DOTALL).groups()  # type: ignore[union-attr]
        if challenges and equals:
            challenges[-1][1][name.lower()] = _unquoted(value)
    return challenges


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value
