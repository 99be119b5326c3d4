"""Parses the addresses of network cameras, and hides their secrets in messages.

Users type camera passwords unescaped, with / # ? [ ] @ and %, which a URL would have to escape.
The text is therefore split at every `@` that a host may follow. If there is more than one way to
read it, the most plausible one is used, and messages show only the scheme.
"""

from __future__ import annotations

import base64
import html
import ipaddress
import json
import re
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, quote_plus, unquote, urljoin

from edge_daemon.capture.sources import SourceError

SCHEMES: Final = ("rtsp", "rtsps", "http", "https")
_DEFAULT_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[\w.-]+)(?::(\d*))?(?=[/?#]|$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PATH_SAFE, _QUERY_SAFE = "/!$&'()*+,;=:@~%", "/?!$&'()*+,;=:@~%"
# In a path: a segment with a value, one of 16 letters and digits without a word, or a long one.
_VALUE_OR_KEY = re.compile(
    r"[^/]*=|(?<=/)(?=[^/]*\d)(?=[^/]*[A-Za-z])(?:[A-Za-z0-9]{16,}(?![^/])|[\w.~-]{32,})"
)
_LONGEST_SHOWN: Final = 200
_SHORTEST_SECRET: Final = 3  # shorter texts occur in many words


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """A parsed address.

    `shown` may be logged: it contains no user name, password, query or keys. `host` is in ASCII,
    `path` is percent-encoded and includes the query.
    """

    scheme: str
    host: str
    port: int
    path: str
    shown: str
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def is_secure(self) -> bool:
        """Whether the connection is encrypted with TLS."""
        return self.scheme in {"https", "rtsps"}

    @property
    def bare_url(self) -> str:
        """The address without user name and password, but with its query."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def full_url(self) -> str:
        """The address with user name and password, percent-encoded. Never show or log it."""
        if self.user is None:
            return self.bare_url
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{self.scheme}://{login}@{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Host and port, as in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def without_secrets(self, text: str) -> str:
        """Replace user name, password, query and path in `text` where `shown` omits them."""
        query = self.path.partition("?")[2]
        secrets = {self.user or "", self.password, query, self.path}
        secrets |= set(re.split("[&;=/?]", self.path))
        login = f"{self.user}:{self.password}"
        for plain in (login, *secrets, *map(unquote, secrets)):
            secrets |= _written_forms(plain)
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET and secret not in self.shown:
                text = text.replace(secret, "…")
        return text

    def redirected(self, location: str) -> CameraAddress:
        """Return the address that a redirect leads to.

        User name and password are sent only to the same host, and not from TLS to plain text.
        Raises SourceError.
        """
        target = parse_address(urljoin(self.bare_url, location))
        keeps = target.host.lower() == self.host.lower() and (
            target.is_secure or not self.is_secure
        )
        if target.user is None and keeps:
            target = replace(target, user=self.user, password=self.password)
        return replace(
            target, shown=self.shown if self.shown == _hidden(self.scheme) else target.shown
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to split the text after the scheme; `login` is None without an `@`."""

    login: str | None
    host: str
    port: str
    tail: str

    @property
    def has_good_port(self) -> bool:
        return not self.port or 1 <= int(self.port[:6]) <= 65535

    @property
    def is_plausible(self) -> bool:
        """Whether the host is very likely one: an IP address, or a name with a dot."""
        try:
            ipaddress.ip_address(self.host.strip("[]").partition("%")[0])
        except ValueError:
            return self.host == "localhost" or bool(re.search(r"\w\.[^\W\d_]{2,}$", self.host))
        return True


def parse_address(text: str) -> CameraAddress:
    """Parse an address as a user wrote it. Raises SourceError; its message hides secrets."""
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    if match is None or scheme not in SCHEMES:
        raise SourceError(
            f"camera.source: {scheme or '…'}:// cameras are not supported: use rtsp://, rtsps://, "
            "http:// or https://"
        )
    rest = text[match.end() :].strip()
    if _CONTROL.search(rest):
        raise SourceError(f"camera.source: {_hidden(scheme)} contains a control character")
    readings = _readings(rest)
    good = [reading for reading in readings if reading.has_good_port]
    if not good:
        what = "a port that is not 1 to 65535" if readings or _names_host(rest) else "no host"
        raise SourceError(
            f"camera.source: {_hidden(scheme)} names {what}: write {scheme}://HOST:PORT/PATH"
        )
    chosen = next((reading for reading in good if reading.is_plausible), good[-1])
    return _address(scheme, chosen, is_certain=len(good) == 1)


def is_ambiguous(address: CameraAddress) -> bool:
    """Return whether the text could be read in more than one way."""
    return address.shown == _hidden(address.scheme)


def redacted(text: str) -> str:
    """Return `text`, an address or any other source, without secrets."""
    if "://" not in text:
        return text
    try:
        return parse_address(text).shown
    except SourceError:
        match = _SCHEME.match(text)
        return _hidden(match[1].lower() if match else "…")


def _written_forms(plain: str) -> set[str]:
    """Return `plain` in every form that a camera's answer may repeat it in."""
    forms = {plain, html.escape(plain), json.dumps(plain)[1:-1]}
    for encoded in (quote(plain, "", errors="replace"), quote_plus(plain, errors="replace")):
        forms |= {encoded, quote(encoded, safe="")}
    for encoding in ("utf-8", "latin-1"):
        raw = plain.encode(encoding, "replace")
        forms |= {raw.decode("latin-1"), base64.b64encode(raw).decode()}
    return forms | {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), each) for each in forms}


def _hidden(scheme: str) -> str:
    return f"{scheme}://…"


def _readings(rest: str) -> list[_Reading]:
    """Return every way to split `rest` into login, host, port and path, from left to right."""
    readings = []
    for at in [-1, *(match.start() for match in re.finditer("@", rest))]:
        login = rest[:at] if at >= 0 else None
        if login is not None and ":" not in login and re.search("[/?#]", login):
            continue  # the @ belongs to the path: a user name has no slash
        if match := _AUTHORITY.match(rest, at + 1):
            readings.append(_Reading(login, match[1], match[2] or "", rest[match.end() :]))
    return readings


def _names_host(rest: str) -> bool:
    """Return whether there is a host, so that only the port after it is unreadable."""
    return re.match(r"(.*@)?(\[[^\]]*\]|[\w.-]+):", rest) is not None


def _address(scheme: str, reading: _Reading, *, is_certain: bool) -> CameraAddress:
    tail = reading.tail.partition("#")[0]
    path, question, query = tail.partition("?")
    host = reading.host.strip("[]")
    if ":" in host:  # RFC 6874 escapes the % of a zone
        host = re.sub("%25(?=.)", "%", host)
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise SourceError(
                f"camera.source: {_hidden(scheme)} names a host that is not a valid name"
            ) from error
    user, colon, password = (reading.login or "").partition(":")
    if _CONTROL.search(unquote(user)):
        raise SourceError(f"camera.source: the user name of {_hidden(scheme)} is not text")
    address = CameraAddress(
        scheme=scheme,
        host=host,
        port=int(reading.port or _DEFAULT_PORTS[scheme]),
        path=_encoded(path or "/", _PATH_SAFE) + question + _encoded(query, _QUERY_SAFE),
        shown=_hidden(scheme),
        user=unquote(user) if reading.login is not None else None,
        password=unquote(password) if colon else "",
    )
    if not is_certain:
        return address
    port = f":{reading.port}" if reading.port else ""
    shown = f"{scheme}://{reading.host}{port}{_path_without_keys(path)}"
    if len(shown) > _LONGEST_SHOWN:
        shown = shown[:_LONGEST_SHOWN] + "…"
    return replace(address, shown=shown + ("?…" if query else ""))


def _encoded(text: str, safe: str) -> str:
    """Percent-encode `text`; keep escapes that are already in it."""
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text), safe=safe)


def _path_without_keys(path: str) -> str:
    """Cut the path where it holds a value or a key: /user=me&password=pw, /7vDZzVbJ5TrWEqAe."""
    match = _VALUE_OR_KEY.search(path)
    return path if match is None else path[: match.start()] + "…"
