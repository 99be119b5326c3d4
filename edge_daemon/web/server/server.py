"""The HTTP server: gevent's WSGI server with a strict grammar in front, in one thread.

One thread serves every connection: a viewer, an idle client or an incomplete request costs a socket
and no thread. gevent patches nothing, so the rest of the process keeps its threads and sockets. A
test checks that the overridden methods exist in gevent
(docs/adr/0020-a-strict-grammar-before-pywsgi.md).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import gevent
from flask import Flask
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer

from edge_daemon.core.threads import Worker
from edge_daemon.web.server.handler import STALLED_S, RequestHandler
from edge_daemon.web.server.listener import Tls, connection_limit, listen, tls_context
from edge_daemon.web.server.loop import Loop

log = logging.getLogger(__name__)

HANDSHAKE_S: Final = 5.0  # for TLS
UNSENT_BYTES: Final = 16_384  # with more than this unsent, the client is not ready for more
STOP_S: Final = 5.0  # for the thread to end, even if it is decoding a photo
WARN_S: Final = 60.0  # between two warnings of the same kind
PAUSE_S: Final = 1.0  # without accepting, when even refusing a connection fails
# Errors of accept(2) that concern one connection, or are temporary.
PASSING_ERRORS: Final = frozenset(
    {
        errno.ECONNABORTED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
        errno.ENETUNREACH, errno.ENONET, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EPERM,
        errno.EPROTO,
    }
)  # fmt: skip
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class HttpServer:
    """Serves `app` on `host`:`port` from a thread of its own, in `loop`.

    At most `max_connections`, which may be changed, are open at once. When a further client
    connects, the connection that has waited longest for its client (for a request, or until an
    answer is read) is closed; streams are not closed. Request bodies have at most `max_body_bytes`.
    `on_failure` is called with the exception that ends the thread.
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
        self.max_connections, self._max_body_bytes = max_connections, max_body_bytes
        self._stop = threading.Event()
        self._worker = Worker("web", self._run, on_failure)
        self._listener: socket.socket | None = None
        self._tls_context: ssl.SSLContext | None = None

    @property
    def port(self) -> int:
        """The TCP port; after `start` the bound one, even if `port` was 0."""
        return self._port

    def start(self) -> None:
        """Bind and begin to serve. Raises OSError or CertificateError."""
        self._tls_context = tls_context(self._tls) if self._tls else None
        self._listener = listen(self._host, self._port)
        self._port = self._listener.getsockname()[1]
        self._worker.start()

    def renewed_tls(self, tls: Tls) -> Callable[[], None]:
        """Load a certificate; the function returned uses it for new connections.

        Raises CertificateError.
        """
        context = tls_context(tls)

        def switch() -> None:
            self._tls_context = context

        return switch

    def stop(self) -> None:
        """Close every connection and wait for the thread; may be called again."""
        self._stop.set()
        self._loop.wake()
        self._worker.join(STOP_S)

    def _run(self) -> None:
        with self._loop.running():
            self._serve()

    def _serve(self) -> None:
        server = _Server(
            self._listener,
            self._app,
            tls_context=lambda: self._tls_context,
            max_connections=lambda: connection_limit(self.max_connections),
            max_body_bytes=self._max_body_bytes,
            on_failure=self._loop.wake,
        )
        server.start()
        while not self._stop.is_set() and server.failure is None:
            self._loop.idle()
        server.stop(timeout=0)
        if server.failure is not None:
            raise server.failure


class _Server(WSGIServer):  # type: ignore[misc]
    """Keeps its connections by their file numbers, and the order in which they began to wait."""

    handler_class = RequestHandler
    max_accept = 20  # connections in a row; those that they replace are closed afterwards

    def __init__(
        self,
        listener: Any,
        app: Flask,
        *,
        tls_context: Callable[[], ssl.SSLContext | None],
        max_connections: Callable[[], int],
        max_body_bytes: int,
        on_failure: Callable[[], None],
    ) -> None:
        super().__init__(listener, app, spawn=Pool(), log=None, error_log=None)
        self.environ["SERVER_NAME"] = "mien"  # else asked of the name service
        self.max_body_bytes = max_body_bytes
        self.failure: BaseException | None = None
        self._on_failure = on_failure
        self._tls_context = tls_context
        self._max_connections = max_connections
        self._open: set[int] = set()
        self._waiting: dict[int, None] = {}  # in the order in which they began to wait
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)
        self._next_warning_s = 0.0

    @property
    def scheme(self) -> str:
        return "https" if self._tls_context() else "http"

    def starts_waiting(self, number: int) -> None:
        """Record that a connection waits for its client to send a request or read an answer."""
        self._waiting.setdefault(number)

    def stops_waiting(self, number: int) -> None:
        """Record that a connection no longer waits for its client."""
        self._waiting.pop(number, None)

    def do_handle(self, connection: Any, address: Any) -> None:
        """Serve a connection; when full, drop the one that has been waiting longest."""
        if len(self._open) >= self._max_connections():
            if not self._waiting:
                connection.close()
                return
            self._hang_up(next(iter(self._waiting)))
        number = connection.fileno()
        self._open.add(number)
        self._waiting[number] = None
        self.pool.spawn(self._serve_connection, number, connection, address)

    def do_read(self) -> Any:
        """Accept a connection, if there is one."""
        try:
            return super().do_read()
        except OSError as error:
            if error.errno in EXHAUSTED:
                self._refuse()
            elif error.errno not in PASSING_ERRORS:
                self.failure = error
                self.stop_accepting()
                self._on_failure()
            return None

    def close(self) -> None:
        super().close()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _refuse(self) -> None:
        """Accept and close a connection at the limit of open files, using the spare file.

        Otherwise it would stay in the kernel's queue, and wake the event loop again and again.
        """
        if time.monotonic() >= self._next_warning_s:
            self._next_warning_s = time.monotonic() + WARN_S
            log.warning("web: too many open files: new connections are refused")
        with suppress(OSError):
            if self._spare is not None:
                spare, self._spare = self._spare, None
                os.close(spare)
                connection, _ = self.socket.accept()
                connection.close()
            self._spare = os.open(os.devnull, os.O_RDONLY)
            return
        self.stop_accepting()  # another thread took the file
        gevent.spawn_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self.started:
            self.start_accepting()

    def _serve_connection(self, number: int, connection: Any, address: Any) -> None:
        try:
            _prepare(connection)
            with _secured(connection, self._tls_context()) as ready:
                if ready is not None:
                    self.handle(ready, address)
        except OSError:  # the client left, or cannot do TLS
            pass
        finally:
            self._waiting.pop(number, None)
            self._open.discard(number)
            connection.close()

    def _hang_up(self, number: int) -> None:
        self._waiting.pop(number)
        twin = socket.socket(fileno=number)
        with suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)
        twin.detach()


@contextmanager
def _secured(connection: Any, context: ssl.SSLContext | None) -> Iterator[Any]:
    """Yield `connection`, over TLS with a `context`; None if the handshake takes too long."""
    if context is None:
        yield connection
        return
    secure = None
    with gevent.Timeout(HANDSHAKE_S, False):
        secure = context.wrap_socket(connection, server_side=True)
    try:
        yield secure
    finally:
        if secure is not None:
            secure.close()


def _prepare(connection: Any) -> None:
    connection.settimeout(STALLED_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
