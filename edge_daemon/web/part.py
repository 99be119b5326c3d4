"""The web server as a part of the daemon."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from edge_daemon.config.network import WebConfig
from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.parts import Apply, Metric, Part, gauge
from edge_daemon.web.access import AccessPolicy
from edge_daemon.web.app import WebServer, WebSources
from edge_daemon.web.server.listener import CertificateError, Tls, address_to_open, tls_context

log = logging.getLogger(__name__)


class BindError(UserError):
    """The web server cannot listen on the address it is given."""


class WebPart(Part[Config]):
    """Serves the page, the stream and the API."""

    name = "web"

    def __init__(
        self, config: Config, sources: WebSources, *, on_failure: Callable[[BaseException], None]
    ) -> None:
        self._web = web = config.web
        self._server = WebServer(
            host=web.host,
            port=web.port,
            tls=_tls(web),
            policy=_policy(web),
            max_viewers=web.max_viewers,
            sources=sources,
            on_failure=on_failure,
        )

    @property
    def url(self) -> str:
        """The page's address for a browser, once the server listens."""
        scheme = "https" if self._web.tls_certificate else "http"
        address = address_to_open(self._web.host)
        host = f"[{address}]" if ":" in address else address
        return f"{scheme}://{host}:{self._server.port}/"

    def start(self) -> None:
        """Listen and serve. Raises BindError."""
        web = self._web
        try:
            self._server.start()
        except CertificateError as error:
            raise BindError(f"web: {error}") from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot exist
            raise BindError(_cannot_listen(web, error)) from error
        if web.unguarded:
            log.warning(
                "web: anybody who can reach %s may watch, because web.auth is none", web.host
            )

    def stop(self) -> None:
        self._server.stop()

    def adopt(self, config: Config) -> Apply:
        """Prepare all settings but the address; the certificate's files are read again.

        Raises CertificateError.
        """
        web, tls = config.web, _tls(self._web)
        switch = self._server.adopt(_policy(web), max_viewers=web.max_viewers, tls=tls)

        def apply() -> None:
            switch()
            self._web = web

        return apply

    def report(self) -> dict[str, Any]:
        return {"viewers": self._server.viewers}

    def metrics(self) -> Iterable[Metric]:
        return [gauge("mien_viewers", "Streams being watched.", self._server.viewers)]


def _tls(web: WebConfig) -> Tls | None:
    return Tls(Path(web.tls_certificate), Path(web.tls_key)) if web.tls_certificate else None


def _policy(web: WebConfig) -> AccessPolicy:
    return AccessPolicy(
        password=web.password,
        token=web.token,
        session_s=web.session_h * 3600,
        hosts=web.hosts,
        cors_origins=web.cors_origins,
        trusted_proxies=web.trusted_proxies,
        settings=web.offers_settings,
    )


def check_web(config: Config) -> None:
    """Check that the certificate can be used. Raises CertificateError."""
    if (tls := _tls(config.web)) is not None:
        tls_context(tls)


def _cannot_listen(web: WebConfig, error: OSError | UnicodeError) -> str:
    reason = reason_of(error)
    fix = "set web.host and web.port to an address that is free."
    if isinstance(error, socket.gaierror | UnicodeError):
        fix = "set web.host to an address of this machine."
    elif error.errno in {errno.EACCES, errno.EPERM}:
        fix = "ports below 1024 are reserved: set web.port to a higher one."
    return f"web: cannot listen on {web.host}:{web.port}: {reason}; {fix}"
