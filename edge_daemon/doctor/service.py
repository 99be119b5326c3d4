"""Checks the web server's address: whether it is free, or whether the daemon there works."""

from __future__ import annotations

import errno
import http.client
import shlex
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from edge_daemon.doctor.finding import Finding, edit, error, ok, warning

TIMEOUT_S: Final = 3.0
MAX_BYTES: Final = 1 << 20  # of an answer; a picture begins much earlier
JPEG: Final = b"\xff\xd8\xff"
LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
JOURNAL: Final = "journalctl -u 'edge-daemon*' -n 30"


class Answer(NamedTuple):
    """The status and the beginning of the body of an HTTP answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """The address that the configuration gives the web server."""

    host: str
    port: int
    tls: bool

    @property
    def url(self) -> str:
        host = LOOPBACK.get(self.host, self.host)
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def obstacle(self) -> OSError | None:
        """Return why no server can listen there, None if one can; binds the port for an instant."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((self.host, self.port))
        except OSError as reason:
            return reason
        return None

    def get(self, path: str, until: bytes = b"") -> Answer | None:
        """Send a GET and read the body up to `until`; None without an answer."""
        host = LOOPBACK.get(self.host, self.host)
        connection: http.client.HTTPConnection
        if self.tls:  # only the answer matters, not the certificate
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(
                host, self.port, timeout=TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, self.port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path, headers={"Accept": "text/html, */*"})
            answer = connection.getresponse()
            body = b""
            while (part := answer.read1(65536)) and len(body) < MAX_BYTES:
                body += part
                if until and until in body:
                    break
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return Answer(answer.status, body)


def serves(address: Address) -> bool:
    """Return whether a Mien daemon answers at `address`."""
    obstacle = address.obstacle()
    if obstacle is None or obstacle.errno != errno.EADDRINUSE:
        return False
    page = address.get("/", until=b"</title>")
    return page is not None and b"Mien</title>" in page.body


def examine_service(address: Address, *, running: bool, config_file: Path) -> Iterator[Finding]:
    """Check the port and, where the daemon is `running`, its health and its stream."""
    if running:
        yield ok("port", f"a daemon serves {address.url}")
        yield _health(address)
        yield _stream(address, config_file)
    else:
        yield _port(address, config_file)


def _port(address: Address, config_file: Path) -> Finding:
    name = f"{address.host}:{address.port}"
    if address.port == 0:
        return ok("port", "web.port is 0, so any free port will be used")
    obstacle = address.obstacle()
    if obstacle is None:
        return ok("port", f"{name} is free")
    why, setting = f"cannot listen on {name}: {obstacle.strerror}", "web.host: 127.0.0.1"
    if obstacle.errno == errno.EACCES:
        setting = "web.port: 8080"
    if obstacle.errno == errno.EADDRINUSE:
        why += "; another program uses it"
        see = f"sudo ss -ltnp 'sport = :{address.port}'"
        setting = f"web.port: {_next_free(address)}; or stop that program: {see}"
    return error("port", why, edit(config_file, setting))


def _next_free(address: Address) -> int:
    others = (replace(address, port=port) for port in range(address.port + 1, 65536))
    return next((each.port for each in others if each.obstacle() is None), 0)


def _health(address: Address) -> Finding:
    answer = address.get("/healthz")
    text = answer.body.decode(errors="replace").strip() if answer else "nothing"
    if answer is not None and answer.status == 200:
        return ok("health", f"{address.url}/healthz answers {text}")
    return error("health", f"{address.url}/healthz answers {text}", JOURNAL)


def _stream(address: Address, config_file: Path) -> Finding:
    path = "/stream.mjpg"
    answer = address.get(path, until=JPEG)
    if answer is not None and answer.status == 401:
        return ok("stream", f"{address.url}{path} requires the password or the token")
    if answer is not None and answer.status == 200 and JPEG in answer.body:
        return ok("stream", f"{address.url}{path} delivers pictures")
    if answer is not None and answer.status == 503:
        text = answer.body.decode(errors="replace").strip()
        return warning(
            "stream", f"{path} answers: {text}", edit(config_file, "web.max_viewers: 64")
        )
    trouble = f"answers {answer.status} without a picture" if answer else "does not answer"
    url = shlex.quote(address.url + path)
    return error("stream", f"{address.url}{path} {trouble}", f"curl -v {url} | head -c 200")
