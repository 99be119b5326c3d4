"""Decides which requests are served.

Once a password or a token is set, every request needs one, except a bare /healthz. A request under
an unknown host name (DNS rebinding) or from another site is refused, because the browser itself
adds the cookie to it, or sends it from the loopback address. Such a request may carry a token.
"""

from __future__ import annotations

import hmac
import logging
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from flask import Request, Response, redirect, render_template

from edge_daemon.web.answers import sentence
from edge_daemon.web.credentials import (
    Sessions,
    is_old_form,
    password_matches,
    token_matches,
)
from edge_daemon.web.lockout import FREE, Lockout
from edge_daemon.web.origin import SAFE_METHODS, Origins
from edge_daemon.web.server.loop import Loop

# On these paths people get the sign-in form.
PAGES: Final = frozenset(("/", "/history.html", "/settings.html"))
LOGIN_BYTES: Final = 4096
LOGIN_S: Final = 5.0  # for the form to arrive
FORM: Final = "application/x-www-form-urlencoded"
OTHER_SITE: Final = (
    "Another site sent this request: give the site a ?token=, or add it to web.cors_origins; "
    "behind a proxy, pass the Host header on."
)
REMEMBERED: Final = 100  # correct passwords of players, which are not checked again

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Who may watch; see the `web` section of the configuration.

    `password` and `token` are hashes made by `credentials`, "" for none. Without both, everybody
    who can reach the port may watch. With `settings`, users who may watch may also change settings.
    """

    password: str = ""
    token: str = ""
    session_s: float = 30 * 86_400.0
    hosts: Sequence[str] = ()
    cors_origins: Sequence[str] = ()
    trusted_proxies: Sequence[str] = ()
    settings: bool = False

    @property
    def is_guarded(self) -> bool:
        """Whether one has to sign in."""
        return bool(self.password or self.token)


class Access:
    """Checks each request against the current policy, and opens sessions."""

    def __init__(self, policy: AccessPolicy, *, loop: Loop) -> None:
        self._loop = loop
        self._threads = loop.threads(1)
        self._one_check = loop.places(1)  # each check of a password takes 16 MB
        self._sessions = Sessions()
        self._lockout = Lockout()
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, None] = OrderedDict()
        self._policy = AccessPolicy()
        self.adopt(policy)

    def adopt(self, policy: AccessPolicy) -> None:
        """Use another policy from the next request on; any thread may call this.

        Sessions end if the password or the token has changed.
        """
        before, self._policy = self._policy, policy
        self._origins = Origins(
            hosts=policy.hosts,
            cors_origins=policy.cors_origins,
            trusted_proxies=policy.trusted_proxies,
        )
        if (before.password, before.token) != (policy.password, policy.token):
            self._sessions.end_all()
            self._remembered = OrderedDict()
        if is_old_form(policy.password):
            log.warning(
                "web.password was made by an older version, and the next version refuses it; "
                "make a new one with `mien hash-password`."
            )

    @property
    def is_guarded(self) -> bool:
        """Whether one has to sign in."""
        return self._policy.is_guarded

    @property
    def offers_settings(self) -> bool:
        """Whether users who may watch may also change settings."""
        return self._policy.settings

    def client_address(self, request: Request) -> str:
        """Return the address of the client, also behind trusted proxies."""
        return self._origins.client_address(request)

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request that is refused or is a preflight; else None."""
        if request.path == "/healthz":
            return None
        if not self._origins.is_known_host(request):
            return sentence(
                421, "This host name is unknown; add it to web.hosts, or use the address."
            )
        if self._is_preflight(request):
            return Response(status=204)
        return self._without_right(request)

    def _without_right(self, request: Request) -> Response | None:
        """Refuse requests of other sites, and those without a valid session, password or token."""
        given = _credential(request) if self.is_guarded else ""
        if not given and self._origins.is_other_site(request):
            return sentence(403, OTHER_SITE)
        if not self.is_guarded or (request.path == "/login" and request.method == "POST"):
            return None
        if given:
            return self._checked_credential(request, given)
        return None if self.is_signed_in(request) else self._not_signed_in(request)

    def is_signed_in(self, request: Request) -> bool:
        """Return whether the request has a session, or needs none and is for a known name."""
        if not self.is_guarded:
            return self._origins.is_known_host(request)
        cookie = request.cookies.get(_cookie(request), "")
        return self._sessions.is_valid(cookie, self._policy.session_s)

    def login(self, request: Request) -> Response:
        """Answer the sign-in form with a session, or with the form again."""
        if not self.is_guarded:
            return redirect("./", 303)  # type: ignore[return-value]
        if request.mimetype != FORM:
            return sentence(415, f"Send the password as {FORM}.")
        if self._lockout.is_crowded(self.client_address(request), time.monotonic()):
            return self._too_many_tries(request)
        request.max_content_length = LOGIN_BYTES
        try:
            with self._loop.deadline(LOGIN_S):
                given = request.form.get("password", "")
        except TimeoutError:
            return sentence(408, "The password did not arrive in time.")
        refused = self._check(request, given)
        if refused is not None:
            return refused
        return self._with_session(request, redirect("./", 303))  # type: ignore[arg-type]

    def logout(self, request: Request) -> Response:
        """End the session, and have the browser forget it."""
        self._sessions.end(request.cookies.get(_cookie(request), ""))
        response = redirect("./", 303)
        response.delete_cookie(_cookie(request), path=None)
        return response  # type: ignore[return-value]

    def allow_cors(self, request: Request, response: Response) -> Response:
        """Let scripts of the configured sites read `response`."""
        origin = self._origins.cors_origin(request)
        if self._policy.cors_origins:
            response.headers.add("Vary", "Origin")
        if not origin:
            return response
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After, X-Timestamp"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if self._is_preflight(request):
            response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST"
            response.headers["Access-Control-Allow-Headers"] = (
                "Authorization, Content-Type, Last-Event-ID"
            )
            response.headers["Access-Control-Max-Age"] = "600"
        return response

    def _is_preflight(self, request: Request) -> bool:
        """Return whether a browser asks if a script of a configured site may make a request."""
        asks = "Access-Control-Request-Method" in request.headers
        return request.method == "OPTIONS" and asks and bool(self._origins.cors_origin(request))

    def _checked_credential(self, request: Request, given: str) -> Response | None:
        """Check a token, or the password of a player that uses Basic authentication."""
        if not self._fits_token(given):
            basic = request.authorization is not None and request.authorization.type == "basic"
            if not (basic and self._policy.password):
                return self._wrong_token(request)
            if not self._is_remembered(given):
                refused = self._check(request, given)
                if refused is not None:
                    return refused
                self._remember(given)
        if request.path == "/" and "token" in request.args and "action" not in request.args:
            rest = {name: value for name, value in request.args.items() if name != "token"}
            query = f"?{urlencode(rest)}" if rest else ""
            return self._with_session(request, redirect(f"./{query}", 303))  # type: ignore[arg-type]
        return None

    def _check(self, request: Request, given: str) -> Response | None:
        """Return None for the token or the password; else the answer to a wrong one.

        The token costs nothing to check, so it is checked before any lock.
        """
        if self._fits_token(given):
            return None
        if not self._policy.password:
            return self._wrong_credential(request)
        address = self.client_address(request)
        was_locked = self._is_locked(address)
        wait_s = self._lockout.check_in_s(address, time.monotonic())
        if wait_s is None:
            return self._too_many_tries(request)
        self._loop.sleep(wait_s)
        with self._one_check:
            if not was_locked and self._is_locked(address):
                return self._too_many_tries(request)  # many were sent at once
            fits = self._threads.run(password_matches, given, self._policy.password)
        if not fits:
            return self._wrong_credential(request)
        self._lockout.succeeded(address)
        return None

    def _fits_token(self, given: str) -> bool:
        return bool(self._policy.token) and token_matches(given, self._policy.token)

    def _is_remembered(self, given: str) -> bool:
        return self._digest(given) in self._remembered

    def _remember(self, given: str) -> None:
        """Store that a password is correct, because players send it with every request."""
        self._remembered[self._digest(given)] = None
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def _digest(self, given: str) -> bytes:
        return hmac.digest(self._key, given.encode(), "sha256")

    def _wrong_token(self, request: Request) -> Response:
        """Count a wrong token, unless another site made the browser send it.

        The headers that name the site can be forged. That does no harm, because a token, unlike a
        password, cannot be guessed.
        """
        if self._origins.is_other_site(request):
            return self._sign_in(request, 401, "That is not right.")
        return self._wrong_credential(request)

    def _wrong_credential(self, request: Request) -> Response:
        """Count a wrong password or token."""
        address = self.client_address(request)
        count = self._lockout.failed(address, time.monotonic())
        if count <= FREE or count & (count - 1) == 0:  # of many, only the 8th, 16th, 32nd…
            log.warning("web: a wrong password or token from %s (%d)", address, count)
        if count > FREE:
            return self._too_many_tries(request)
        return self._sign_in(request, 401, "That is not right.")

    def _is_locked(self, address: str) -> bool:
        return self._lockout.locked_s(address, time.monotonic()) > 0

    def _too_many_tries(self, request: Request) -> Response:
        address = self.client_address(request)
        seconds = max(1, math.ceil(self._lockout.locked_s(address, time.monotonic())))
        answer = self._sign_in(request, 429, f"Too many wrong tries: wait {seconds} s.")
        answer.headers["Retry-After"] = str(seconds)
        return answer

    def _not_signed_in(self, request: Request) -> Response:
        return self._sign_in(request, 401, "Sign in first, or send a token.")

    def _sign_in(self, request: Request, status: int, text: str) -> Response:
        """Answer people with the sign-in page, programs with `text` and a challenge."""
        wants_page = "text/html" in request.headers.get("Accept", "")
        if wants_page and request.path in PAGES | {"/login"}:
            first = status == 401 and request.method in SAFE_METHODS and not _credential(request)
            page = render_template("sign-in.html", problem="" if first else text)
            return Response(page, status, mimetype="text/html")
        answer = sentence(status, text)
        if status == 401:
            # A browser would show a dialog of its own over the page.
            if "Mozilla/" not in request.user_agent.string:
                answer.headers.add("WWW-Authenticate", 'Basic realm="mien", charset="UTF-8"')
            answer.headers.add("WWW-Authenticate", 'Bearer realm="mien"')
        return answer

    def _with_session(self, request: Request, response: Response) -> Response:
        """Add a new session's cookie to `response`.

        Without a path the cookie is valid for the page's own folder, also if a proxy serves the
        page under a sub-path.
        """
        response.set_cookie(
            _cookie(request),
            self._sessions.new(),
            max_age=int(self._policy.session_s),
            path=None,
            httponly=True,
            samesite="Lax",
            secure=self._origins.is_secure(request),
        )
        return response


def _cookie(request: Request) -> str:
    """Return the cookie's name, which has the port: a browser shares cookies between ports."""
    port = urlsplit(f"//{request.headers.get('Host', '')}").port
    return f"mien-{port}" if port else "mien"


def _credential(request: Request) -> str:
    """Return the token (Bearer or ?token=) or the password (Basic) of the request."""
    given = request.authorization
    if given is not None and given.type == "bearer" and given.token:
        return given.token
    if given is not None and given.type == "basic" and given.password:
        return given.password
    return request.args.get("token", "")
