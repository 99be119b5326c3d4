"""Digest access authentication of a GET request, as RFC 7616 and the older RFC 2617 define it.

Requests, the library, computes neither the session variants of SHA-256 nor qop=auth-int nor user
names that are hashed; cameras ask for all three.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Final

# The algorithms, the best first, and hashlib's names for them. RFC 7616's example of SHA-512-256
# is computed by another function than its text says, so it comes after SHA-256.
ALGORITHMS: Final = {
    "SHA-512": "sha512",
    "SHA-256": "sha256",
    "SHA-512-256": "sha512_256",
    "SHA-1": "sha1",
    "SHA": "sha1",
    "MD5": "md5",
}
_SESSION: Final = "-SESS"
_QOPS: Final = ("auth", "auth-int")


class DigestChallenge:
    """A challenge that can be answered; its parameters have names in lower case.

    Raises ValueError, whose text names what is not supported.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._given = {"realm": "", **parameters}
        self._algorithm = self._given.get("algorithm", "MD5").upper()
        self._name = self._algorithm.removesuffix(_SESSION)
        if "nonce" not in parameters:
            raise ValueError("digest without a nonce")
        if ALGORITHMS.get(self._name) not in hashlib.algorithms_available:
            raise ValueError(f"digest with algorithm={parameters['algorithm']}")
        offered = [each.strip().lower() for each in self._given.get("qop", "").split(",")]
        self._qop = next((qop for qop in _QOPS if qop in offered), "")
        if not self._qop and any(offered):
            raise ValueError(f"digest with qop={parameters['qop']}")
        self._count = 0

    @property
    def rank(self) -> int:
        """The place of its algorithm; lower is better."""
        return list(ALGORITHMS).index(self._name)

    def answer(self, user: str, password: str, uri: str) -> str:
        """Return the Authorization header for a GET of `uri`, the request's target."""
        self._count += 1
        realm, nonce = self._given["realm"], self._given["nonce"]
        cnonce, count = secrets.token_hex(16), f"{self._count:08x}"
        secret = self._hash(f"{user}:{realm}:{password}")
        if self._algorithm.endswith(_SESSION):
            secret = self._hash(f"{secret}:{nonce}:{cnonce}")
        target = f"GET:{uri}" + (f":{self._hash('')}" if self._qop == "auth-int" else "")
        middle = f":{count}:{cnonce}:{self._qop}" if self._qop else ""
        response = self._hash(f"{secret}:{nonce}{middle}:{self._hash(target)}")
        is_hashed = self._given.get("userhash", "").lower() == "true"
        quoted = {
            "username": self._hash(f"{user}:{realm}") if is_hashed else user,
            "realm": realm,
            "nonce": nonce,
            "uri": uri,
            "response": response,
        }
        plain = {"algorithm": self._given["algorithm"]} if "algorithm" in self._given else {}
        if "opaque" in self._given:
            quoted["opaque"] = self._given["opaque"]
        if self._qop or self._algorithm.endswith(_SESSION):
            quoted["cnonce"] = cnonce
        if self._qop:
            plain |= {"qop": self._qop, "nc": count}
        if is_hashed:
            plain["userhash"] = "true"
        values = [f"{name}={_quoted(value)}" for name, value in quoted.items()]
        return "Digest " + ", ".join(values + [f"{name}={value}" for name, value in plain.items()])

    def _hash(self, text: str) -> str:
        name = ALGORITHMS[self._name]
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
