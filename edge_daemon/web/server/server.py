"""A WSGI application in, an HTTP server out: the adapter round gevent.

One thread serves every connection: a viewer, an idle client or half a request costs a socket and
no thread. Nothing is patched, so the rest of the process keeps its own threads and sockets.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import gevent
from flask import Flask
from gevent import ssl as gevent_ssl
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer
from gevent.socket import wait_write

from edge_daemon.core.errors import UserError
from edge_daemon.web.server.loop import Loop
from edge_daemon.web.server.request import HEADER_S, Body, Head, Refused

log = logging.getLogger(__name__)

WRITABLE: Final = "mien.wait_writable"  # in the WSGI environment: see `Writable`
Writable = Callable[[], None]  # returns when the client has taken what was written before

CLIENT_TIMEOUT_S: Final = (
    5.0  # a client that takes nothing and sends nothing for so long is cut off
)
UNSENT_BYTES: Final = 16_384  # more than this not yet on its way: the client is not ready
CONNECTIONS_WAITING: Final = 128  # for the thread to accept them


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a certificate, with its chain, and of its key, both PEM."""

    certificate: Path
    key: Path


class CertificateError(UserError):
    """The files for TLS cannot be used; the message names them."""


class HttpServer:
    """Serves `app` on `host`:`port` from a thread of its own, in `loop`.

    At most `max_connections` at once: for one more, that which has waited longest for its client
    goes, be it for a request or for its answer to be taken; streams stay. Request bodies may have
    `max_body_bytes`. `on_failure` hears of a failing thread.
    """

    def __init__(
        self,
        *,
        app: Flask,
        loop: Loop,
        host: str,
        port: int,
        tls: Tls | None,
        max_connections: int,
        max_body_bytes: int,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._app, self._loop = app, loop
        self._host, self._port = host, port
        self._tls = tls
        self._max_connections, self._max_body_bytes = max_connections, max_body_bytes
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web")
        self._listener: socket.socket | None = None

    @property
    def port(self) -> int:
        """The TCP port; after `start()` the bound one, where 0 was asked for."""
        return self._port

    def start(self) -> None:
        """Bind and begin to serve. Raises OSError or CertificateError when it cannot."""
        self._context = _tls_context(self._tls) if self._tls else None
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server(
            (self._host, self._port), family=family, backlog=CONNECTIONS_WAITING
        )
        listener.setblocking(False)
        self._listener, self._port = listener, listener.getsockname()[1]
        self._thread.start()

    def stop(self) -> None:
        """Cut every connection off and wait for the thread; may be called again."""
        self._stop.set()
        self._loop.ring()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with self._loop.running():
                self._serve()
        except BaseException as error:  # ends the process: the thread must not die unseen
            self._on_failure(error)

    def _serve(self) -> None:
        secure: dict[str, Any] = {"ssl_context": self._context} if self._context else {}
        server = _Server(
            self._listener,
            self._app,
            max_connections=self._max_connections,
            max_body_bytes=self._max_body_bytes,
            **secure,
        )
        server.start()
        while not self._stop.is_set() and server.failure is None:
            self._loop.wait()
        server.stop(timeout=0)
        if server.failure is not None:
            raise server.failure


def _tls_context(tls: Tls) -> ssl.SSLContext:
    context: ssl.SSLContext = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if error.errno else "they are no certificate and key that fit"
        files = f"{tls.certificate} and {tls.key}"
        raise CertificateError(f"{files} cannot be used: {reason}.") from None
    return context


class _Handler(WSGIHandler):  # type: ignore[misc]
    """One connection's requests."""

    rfile: Any
    wsgi_input: Any

    def handle_one_request(self) -> Any:
        self.server.waits(self.socket.fileno())
        with gevent.Timeout(HEADER_S) as self._patience:
            try:
                return super().handle_one_request()
            except gevent.Timeout:
                return None  # its header did not come in time

    def read_request(self, raw_requestline: str) -> Any:
        if not raw_requestline.isascii():
            raise ValueError("no URL has such bytes")  # RFC 3986, section 2
        stream, self.rfile = self.rfile, Head(self.rfile)
        try:
            read = super().read_request(raw_requestline)
        finally:
            self.rfile = stream
        self._patience.close()
        if not self.content_length:
            self.server.goes_on(self.socket.fileno())
        if "transfer-encoding" in self.headers:
            raise Refused("411 Length Required", "Send the body with its Content-Length.")
        lengths = set(self.headers.get_all("content-length", ()))
        if len(lengths) > 1 or not all(length.isdecimal() for length in lengths):
            raise ValueError("there may be one Content-Length")  # RFC 9112, section 6.3
        if (self.content_length or 0) > self.server.max_body_bytes:
            limit = self.server.max_body_bytes // 1_000_000
            raise Refused("413 Content Too Large", f"A body may have {limit} MB.")
        return read

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        asked = self.wsgi_input.socket  # by `Expect: 100-continue`
        environ["wsgi.input"] = self.wsgi_input = Body(self, asked)
        environ["wsgi.input_terminated"] = True
        environ[WRITABLE] = self._wait_writable
        self._ready = select.poll()
        self._ready.register(self.socket.fileno(), select.POLLOUT)
        return environ

    def finalize_headers(self) -> None:
        """End a body of unknown length with the connection: many MJPEG clients read no chunks."""
        super().finalize_headers()
        if self.response_use_chunked:  # type: ignore[has-type]
            self.response_use_chunked = False
            self.close_connection = True
            self.response_headers.remove((b"Transfer-Encoding", b"chunked"))
        if self.close_connection and not any(n == b"Connection" for n, _ in self.response_headers):
            self.response_headers.append((b"Connection", b"close"))

    def handle_error(self, kind: type, error: BaseException, trace: TracebackType) -> None:
        """Log what failed, without the query, which may hold a token; who left is not worth it."""
        if isinstance(error, OSError):
            self.close_connection = True
            return
        if not isinstance(error, gevent.GreenletExit):
            path = self.environ.get("PATH_INFO", "")
            log.error("%s %s failed", self.command, path, exc_info=(kind, error, trace))
        self._send_error_response_if_possible(500)

    def _handle_client_error(self, error: BaseException) -> tuple[str, bytes]:
        known = isinstance(error, Refused)
        status, sentence = error.args if known else ("400 Bad Request", "This is not HTTP/1.1.")
        body = f"{sentence}\n"
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
        return status, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def _sendall(self, data: Any) -> None:
        """Send it; the client has its time for each step, not for the whole.

        What has no length is a stream, and has a place of its own among its like.
        """
        self.response_length += len(data)
        unsent = memoryview(data)[self.socket.send(data) :]
        if not unsent:
            return
        if self.provided_content_length is not None:
            self.server.waits(self.socket.fileno())
        while unsent:
            unsent = unsent[self.socket.send(unsent) :]
        self.server.goes_on(self.socket.fileno())

    def _wait_writable(self) -> None:
        if not self._ready.poll(0):  # else there is no need to go through the event loop
            wait_write(self.socket.fileno(), CLIENT_TIMEOUT_S, TimeoutError())


class _Server(WSGIServer):  # type: ignore[misc]
    """Knows its connections by their file numbers, and which of them wait for their clients."""

    handler_class = _Handler

    def __init__(
        self,
        listener: Any,
        app: Flask,
        *,
        max_connections: int,
        max_body_bytes: int,
        **secure: Any,
    ) -> None:
        super().__init__(listener, app, spawn=Pool(), log=None, error_log=None, **secure)
        self.environ["SERVER_NAME"] = "mien"  # else asked of the name service
        self.max_body_bytes = max_body_bytes
        self.failure: BaseException | None = None
        self._max_connections = max_connections
        self._open: set[int] = set()
        self._waiting: dict[int, None] = {}  # in this order

    def waits(self, number: int) -> None:
        """A client owes a request or the rest of one, or has not taken its answer."""
        self._waiting.setdefault(number)

    def goes_on(self, number: int) -> None:
        self._waiting.pop(number, None)

    def do_handle(self, connection: Any, address: Any) -> None:
        """Serve a new connection, in a full house in the place of the one that waits longest."""
        if len(self._open) >= self._max_connections:
            if not self._waiting:
                connection.close()
                return
            self._hang_up(next(iter(self._waiting)))
        number = connection.fileno()
        self._open.add(number)
        self._waiting[number] = None
        self.pool.spawn(self._one, number, connection, address)

    def wrap_socket_and_handle(self, connection: Any, address: Any) -> None:
        secure = None
        with gevent.Timeout(HEADER_S, False):
            secure = self.wrap_socket(connection, **self.ssl_args)
        if secure is not None:
            self.handle(secure, address)

    def do_read(self) -> Any:
        """A new connection, if there is one; without file numbers left this is the end."""
        try:
            return super().do_read()
        except ConnectionAbortedError:
            return None
        except OSError as error:
            self.failure = error
            self.stop_accepting()
            return None

    def _one(self, number: int, connection: Any, address: Any) -> None:
        try:
            _prepare(connection)
            self._handle(connection, address)
        except OSError:  # it left, or it cannot do TLS
            pass
        finally:
            self._waiting.pop(number, None)
            self._open.discard(number)
            connection.close()

    def _hang_up(self, number: int) -> None:
        self._waiting.pop(number)
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as twin:
            twin.shutdown(socket.SHUT_RDWR)


def _prepare(connection: Any) -> None:
    connection.settimeout(CLIENT_TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
