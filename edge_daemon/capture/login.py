"""Logs in to HTTP cameras: parses challenges and answers the strongest (RFC 9110, RFC 7616)."""

from __future__ import annotations

import base64
import re
from urllib.request import parse_http_list

from edge_daemon.capture.address import CameraAddress
from edge_daemon.capture.digest import DigestChallenge

Challenge = tuple[str, dict[str, str]]  # the scheme in lower case, and its parameters


class Authorization:
    """Answers the best challenge that a camera has given."""

    def __init__(self) -> None:
        self._digest: DigestChallenge | None = None
        self._is_basic = False

    def choose(self, challenges: list[Challenge]) -> str:
        """Choose the best of `challenges`; return "", or their kinds if none is supported."""
        digests, others = [], []
        for scheme, values in challenges:
            try:
                if scheme == "digest":
                    digests.append(DigestChallenge(values))
                elif scheme != "basic":
                    others.append(scheme)
            except ValueError as error:
                others.append(str(error))
        self._digest = min(digests, key=lambda each: each.rank, default=None)
        self._is_basic = not digests and any(scheme == "basic" for scheme, _ in challenges)
        return "" if self._digest or self._is_basic else ", ".join(others) or "not named"

    def header(self, address: CameraAddress) -> str:
        """Return the Authorization header; "" while no challenge is known, or without a user."""
        if address.user is None:
            return ""
        if self._digest is not None:
            return self._digest.answer(address.user, address.password, address.path)
        if self._is_basic:
            login = f"{address.user}:{address.password}".encode()
            return "Basic " + base64.b64encode(login).decode("ascii")
        return ""


def parse_challenges(headers: list[str]) -> list[Challenge]:
    """Parse WWW-Authenticate headers, each with one or more challenges (RFC 9110, 11.6.1)."""
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
