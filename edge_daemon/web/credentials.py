"""Passwords and tokens: what the configuration holds of them, and whether a given one is right.

A password is stored as scrypt (RFC 7914) with the parameters OWASP's password storage cheat sheet
names for 16 MB. A token is 256 random bits, for which a plain SHA-256 is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

MIN_PASSWORD: Final = 8

_COST: Final = {"n": 1 << 14, "r": 8, "p": 5, "maxmem": 1 << 25, "dklen": 32}


def hash_password(password: str) -> str:
    """What `web.password` is to hold. Raises ValueError for one that is too short."""
    if len(password) < MIN_PASSWORD:
        raise ValueError(f"the password should have at least {MIN_PASSWORD} characters.")
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, **_COST)
    return f"scrypt:{base64.b64encode(salt).decode()}:{base64.b64encode(digest).decode()}"


def password_fits(password: str, stored: str) -> bool:
    """Whether `stored` was made from `password`; takes about as long as `hash_password`."""
    _, salt, digest = stored.split(":")
    given = hashlib.scrypt(password.encode(), salt=base64.b64decode(salt), **_COST)
    return hmac.compare_digest(given, base64.b64decode(digest))


def new_token() -> str:
    """A token that cannot be guessed, fit for URLs."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """What `web.token` is to hold."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def token_fits(token: str, stored: str) -> bool:
    """Whether `stored` was made from `token`, in the same time for every wrong one."""
    return hmac.compare_digest(hash_token(token), stored)
