"""Hashes and checks passwords and tokens, and signs sessions.

A password is stored as scrypt (RFC 7914) with parameters of OWASP's password storage cheat sheet
that take 16 MB. A token is 256 random bits, for which a plain SHA-256 is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from typing import Final

from itsdangerous import BadSignature, TimestampSigner
from werkzeug.security import check_password_hash, generate_password_hash

ENDED_SESSIONS: Final = 10_000  # remembered; with more, all sessions end
MIN_PASSWORD: Final = 8  # characters

_METHOD: Final = "scrypt:16384:8:5"
# The form that `hash-password` printed before; it is accepted for one more release.
_OLD_FORM: Final = re.compile(r"scrypt:([A-Za-z0-9+/=]{24}):([A-Za-z0-9+/=]{44})")


def hash_password(password: str) -> str:
    """Return the hash for `web.password`. Raises ValueError if the password is too short."""
    if len(password) < MIN_PASSWORD:
        raise ValueError(f"the password should have at least {MIN_PASSWORD} characters.")
    return generate_password_hash(password, _METHOD)


def password_matches(password: str, stored: str) -> bool:
    """Return whether `stored` was made from `password`. Takes some 0.1 s and 16 MB."""
    old = _OLD_FORM.fullmatch(stored)
    if old is None:
        return check_password_hash(stored, password)
    salt, digest = map(base64.b64decode, old.groups())
    given = hashlib.scrypt(
        password.encode(), salt=salt, n=1 << 14, r=8, p=5, maxmem=1 << 25, dklen=32
    )
    return hmac.compare_digest(given, digest)


def is_old_form(stored: str) -> bool:
    """Return whether `stored` has the form that the next release no longer accepts."""
    return _OLD_FORM.fullmatch(stored) is not None


def new_token() -> str:
    """Return a token that cannot be guessed and needs no escaping in a URL."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Return the hash for `web.token`."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def token_matches(token: str, stored: str) -> bool:
    """Return whether `stored` was made from `token`; takes the same time for every wrong one."""
    return hmac.compare_digest(hash_token(token), stored)


class _SessionSigner(TimestampSigner):
    """Signs with the monotonic clock: one that is set ends no session, and prolongs none."""

    def get_timestamp(self) -> int:
        return int(time.monotonic())


class Sessions:
    """Signed cookies. They end after `session_s`, at log-out and with the process."""

    def __init__(self) -> None:
        self.end_all()

    def end_all(self) -> None:
        """Make every cookie invalid."""
        key = secrets.token_bytes(32)
        self._signer = _SessionSigner(key, salt="session", digest_method=hashlib.sha256)
        self._ended: set[str] = set()

    def new(self) -> str:
        """Return the value of a new session's cookie."""
        return self._signer.sign(secrets.token_urlsafe(16)).decode()

    def is_valid(self, cookie: str, session_s: float) -> bool:
        """Return whether `cookie` belongs to a session that has not ended."""
        name = self._name(cookie, session_s)
        return bool(name) and name not in self._ended

    def end(self, cookie: str) -> None:
        """End the session of `cookie`."""
        if len(self._ended) >= ENDED_SESSIONS:
            self.end_all()
        self._ended.add(self._name(cookie))

    def _name(self, cookie: str, session_s: float | None = None) -> str:
        """Return the session's name; "" if the cookie is not ours, or older than `session_s`."""
        max_age_s = None if session_s is None else int(session_s)
        try:
            return self._signer.unsign(cookie, max_age=max_age_s).decode()
        except BadSignature:
            return ""
