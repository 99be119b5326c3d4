"""A WSGI application in, an HTTP server out: the adapter round cheroot.

It adds what a camera's server needs: a stop that does not wait for slow clients, bodies of
unknown length that end with the connection (many MJPEG clients cannot read chunks), small send
buffers, and no silent end of the serving thread.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from cheroot.server import HTTPConnection
from cheroot.wsgi import Gateway_10, Server
from flask import Flask

log = logging.getLogger(__name__)

SEND_BUFFER_BYTES: Final = 65536  # about a picture: what waits here is already old
CLIENT_TIMEOUT_S: Final = 5  # a client that neither reads nor writes for so long is cut off
SELECT_S: Final = 0.2  # how late the serving thread sees that it is to stop
QUEUE: Final = 32  # connections that may wait for a thread; more are answered 503
WAIT_S: Final = 1  # for a place among them, and for the threads to end


class HttpServer:
    """Serves `app` on `host`:`port` with `threads` threads, from its own thread."""

    def __init__(
        self,
        *,
        app: Flask,
        host: str,
        port: int,
        threads: int,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._server = _Server((host, port), app, threads)
        self._on_failure = on_failure
        self._thread = threading.Thread(target=self._serve, name="web")

    @property
    def port(self) -> int:
        """The TCP port; after `start()` the bound one, where 0 was asked for."""
        return int(self._server.bind_addr[1])

    def start(self) -> None:
        """Bind and begin to serve. Raises OSError when the address cannot be bound."""
        try:
            self._server.prepare()
        except OSError as error:  # cheroot's has the reason only in its text
            raise self._server.bind_error or error from None
        self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._thread.start()

    def stop(self) -> None:
        """Cut every connection off and wait for the threads."""
        self._server.hang_up()
        self._server.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def _serve(self) -> None:
        try:
            self._server.serve()
        except BaseException as error:  # ends the process: the thread must not die unseen
            self._on_failure(error)


class _Gateway(Gateway_10):
    """Ends a body of unknown length with the connection; cheroot would send it in chunks."""

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Any:
        if all(name.lower() != "content-length" for name, _ in headers):
            self.req.response_protocol = "HTTP/1.0"
            headers = [*headers, ("Connection", "close")]
        return super().start_response(status, headers, exc_info)


class _Connection(HTTPConnection):
    """A connection that the server can hang up on while a thread is busy with it."""

    def communicate(self) -> bool:
        with self.server.busy_lock:
            if self.server.hung_up:
                return False
            self.server.busy.add(self)
        try:
            return bool(super().communicate())  # type: ignore[no-untyped-call]
        finally:
            with self.server.busy_lock:
                self.server.busy.discard(self)

    def close(self) -> None:
        super().close()
        with suppress(OSError, ValueError):  # drop what a failed write left in the buffer
            self.wfile.close()


class _Server(Server):
    ConnectionClass = _Connection
    expiration_interval = SELECT_S
    max_request_header_size = 16384
    max_request_body_size = 16384

    def __init__(self, address: tuple[str, int], app: Flask, threads: int) -> None:
        super().__init__(
            address,
            app,
            numthreads=threads,
            max=threads,
            server_name="mien",
            request_queue_size=QUEUE,
            timeout=CLIENT_TIMEOUT_S,
            shutdown_timeout=WAIT_S,
            accepted_queue_size=QUEUE,
            accepted_queue_timeout=WAIT_S,
        )
        self.gateway = _Gateway
        self.busy_lock = threading.Lock()
        self.busy: set[_Connection] = set()
        self.hung_up = False
        self.bind_error: OSError | None = None
        self._serving: threading.Thread | None = None

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:
        try:
            return cast(socket.socket, super().bind(family, type, proto))
        except OSError as error:
            self.bind_error = error
            raise

    def hang_up(self) -> None:
        """End what the threads are reading and writing, and take nothing new."""
        with self.busy_lock:
            self.hung_up = True
            for connection in self.busy:
                with suppress(OSError):  # it may be gone already
                    connection.socket.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        self._serving = threading.current_thread()
        super().serve()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log as everything else does; an error of the serving thread itself is raised.

        cheroot would log that one and try again at once, for ever.
        """
        if traceback and threading.current_thread() is self._serving:
            raise  # noqa: PLE0704 - called from inside cheroot's except block
        log.log(level, msg, exc_info=traceback)
