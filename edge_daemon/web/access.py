"""A request in; None, or the answer that keeps it out.

Without a credential nothing but a bare /healthz is answered, once a password or a token is set. A
request from another site is refused unless it brings its token itself, and so is one under a name
that is not ours (DNS rebinding), since the browser adds the cookie, or the loopback address, to it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import math
import secrets
import socket
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode, urlsplit

from flask import Request, Response, redirect, render_template

from edge_daemon.web.credentials import password_fits, token_fits
from edge_daemon.web.lockout import Lockout
from edge_daemon.web.server.loop import Loop

SESSION_S: Final = 30 * 86_400
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

log = logging.getLogger(__name__)


class Access:
    """Who may see what.

    `password` and `token` are stored hashes (`credentials`), "" for none; without both, everybody
    who reaches the port may watch. `hosts` are names to be asked under besides addresses,
    localhost and the machine's own. `secure` says whether the server speaks TLS.
    """

    def __init__(
        self, *, password: str, token: str, hosts: Sequence[str], secure: bool, loop: Loop
    ) -> None:
        self._password, self._token = password, token
        own = socket.gethostname().lower()
        self._hosts = {"localhost", own, f"{own}.local", *(host.lower() for host in hosts)}
        self._secure = secure
        self._loop = loop
        self._one_guess = loop.places(1)  # each check of a password takes 16 MB
        self._key = secrets.token_bytes(32)  # sessions end with the process
        self._lockout = Lockout()

    @property
    def required(self) -> bool:
        """Whether one has to sign in."""
        return bool(self._password or self._token)

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request that may not go on; None for one that may."""
        if request.path == "/healthz":
            return None
        if not self._known_host(request):
            return _sentence(421, "This name is not ours; add it to web.hosts, or use the address.")
        given = _token_of(request) if self.required else ""
        if not given and _cross_site(request):
            return _sentence(403, "Another site asked for this; give it a ?token= of its own.")
        if not self.required or (request.path == "/login" and request.method == "POST"):
            return None
        if given:
            return self._with_token(request, given)
        return None if self.signed_in(request) else self._unknown(request)

    def signed_in(self, request: Request) -> bool:
        """Whether the request comes in a session, or needs none; under a name of ours."""
        if not self.required:
            return self._known_host(request)
        expiry, _, signature = request.cookies.get(_cookie(request), "").partition(".")
        known = hmac.compare_digest(signature.encode(), self._signature(expiry).encode())
        return known and time.time() < int(expiry)

    def login(self, request: Request) -> Response:
        """What the sign-in form gets: a session, or the form again."""
        given = request.form.get("password", "")
        if not self.required:
            return redirect("./", 303)  # type: ignore[return-value]
        with self._one_guess:  # many sent at once do not pass the lock-out together
            if (locked := self._locked(request)) is not None:
                return locked
            if not self._right(given):
                return self._failed(request)
        self._lockout.succeeded(str(request.remote_addr))
        return self._session(request, redirect("./", 303))  # type: ignore[arg-type]

    def logout(self, request: Request) -> Response:
        """Forget the session in the browser."""
        response = redirect("./", 303)
        response.delete_cookie(_cookie(request))
        return response  # type: ignore[return-value]

    def _known_host(self, request: Request) -> bool:
        """Whether the Host header is an address or one of our names; old clients send none."""
        header = request.headers.get("Host")
        if not header:
            return True
        host = (urlsplit(f"//{header}").hostname or "") if _well_formed(header) else ""
        return host.rstrip(".") in self._hosts or _is_address(host)

    def _with_token(self, request: Request, given: str) -> Response | None:
        if (locked := self._locked(request)) is not None:
            return locked
        if not (self._token and token_fits(given, self._token)):
            return self._failed(request)
        self._lockout.succeeded(str(request.remote_addr))
        if request.path == "/" and "token" in request.args and "action" not in request.args:
            rest = {name: value for name, value in request.args.items() if name != "token"}
            query = f"?{urlencode(rest)}" if rest else ""
            return self._session(request, redirect(f"./{query}", 303))  # type: ignore[arg-type]
        return None

    def _right(self, given: str) -> bool:
        """Whether `given` is the password, or the token typed in its place."""
        if self._token and token_fits(given, self._token):
            return True
        if not self._password:
            return False
        return self._loop.offload(password_fits, given, self._password)

    def _locked(self, request: Request) -> Response | None:
        wait_s = self._lockout.wait_s(str(request.remote_addr), time.monotonic())
        if not wait_s:
            return None
        seconds = math.ceil(wait_s)
        answer = self._form(request, 429, f"Too many wrong tries: wait {seconds} s.")
        answer.headers["Retry-After"] = str(seconds)
        return answer

    def _failed(self, request: Request) -> Response:
        address = str(request.remote_addr)
        self._lockout.failed(address, time.monotonic())
        log.warning("web: a wrong password or token from %s", address)
        return self._form(request, 401, "That is not right.")

    def _unknown(self, request: Request) -> Response:
        return self._form(request, 401, "Sign in first, or send a token.")

    def _form(self, request: Request, status: int, sentence: str) -> Response:
        """The sign-in page for people, the sentence alone for programs."""
        wants_page = "text/html" in request.headers.get("Accept", "")
        if not (wants_page and request.path in {"/", "/login"}):
            answer = _sentence(status, sentence)
            answer.headers["WWW-Authenticate"] = 'Bearer realm="mien"'
            return answer
        first = status == 401 and request.method in SAFE and not _token_of(request)
        page = render_template("sign-in.html", problem="" if first else sentence)
        return Response(page, status, mimetype="text/html")

    def _session(self, request: Request, response: Response) -> Response:
        expiry = str(int(time.time()) + SESSION_S)
        response.set_cookie(
            _cookie(request),
            f"{expiry}.{self._signature(expiry)}",
            max_age=SESSION_S,
            httponly=True,
            samesite="Lax",
            secure=self._secure,
        )
        return response

    def _signature(self, expiry: str) -> str:
        return hmac.new(self._key, expiry.encode(), hashlib.sha256).hexdigest()


def _cookie(request: Request) -> str:
    """The session's name: browsers keep one jar for all ports of a machine with several cameras."""
    header = request.headers.get("Host", "")
    port = urlsplit(f"//{header}").port if _well_formed(header) else None
    return f"mien-{port}" if port else "mien"


def _token_of(request: Request) -> str:
    """The token that Authorization (Bearer, or the password of Basic) or ?token= brings."""
    given = request.authorization
    if given is not None and given.type == "bearer" and given.token:
        return given.token
    if given is not None and given.type == "basic" and given.password:
        return given.password
    return request.args.get("token", "")


def _cross_site(request: Request) -> bool:
    """Whether another site makes the browser ask (Fetch Metadata, else Origin)."""
    site = request.headers.get("Sec-Fetch-Site")
    if site in {"same-origin", "none"}:
        return False
    if site is not None:
        opens = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method in SAFE
        return not opens or request.headers.get("Sec-Fetch-Dest") != "document"
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("Host")


def _well_formed(header: str) -> bool:
    try:
        urlsplit(f"//{header}").port  # noqa: B018 - raises for what is no port
    except ValueError:
        return False
    return "@" not in header and "/" not in header


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _sentence(status: int, sentence: str) -> Response:
    return Response(f"{sentence}\n", status, mimetype="text/plain")
