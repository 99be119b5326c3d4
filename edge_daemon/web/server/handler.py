"""Serves the requests of one connection: pywsgi's handler with a strict reader of requests."""

from __future__ import annotations

import errno
import logging
import select
import socket
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

import gevent
from gevent.pywsgi import WSGIHandler
from gevent.socket import wait_write

from edge_daemon.web.server.grammar import REQUEST_LINE_BYTES, RequestRefused
from edge_daemon.web.server.request import RequestBody, read_head, wsgi_variables

log = logging.getLogger(__name__)

CLIENT: Final = "mien.client"  # in the WSGI environment: the request's `Client`

HEADER_S: Final = 5.0  # for each request's head
STALLED_S: Final = 5.0  # a client that neither reads nor sends for this long is disconnected
LINGER_S: Final = 1.0  # for a refused client to read its answer


class Client:
    """The client of a request: whether it reads its answer, and whether it has left."""

    def __init__(self, connection: Any) -> None:
        self._number = connection.fileno()
        self._writable, self._closed = select.poll(), select.poll()
        self._writable.register(self._number, select.POLLOUT)
        self._closed.register(self._number, select.POLLRDHUP)

    def wait_writable(self) -> None:
        """Wait until the client has read the earlier bytes.

        Raises BrokenPipeError if it stalls; pywsgi then closes the connection silently.
        """
        if not self._writable.poll(0):  # else there is no need to go through the event loop
            stalled = BrokenPipeError(errno.EPIPE, "the client reads nothing")
            wait_write(self._number, STALLED_S, stalled)

    def has_left(self) -> bool:
        """Return whether the client has closed the connection. Any thread may call this."""
        return bool(self._closed.poll(0))


class RequestHandler(WSGIHandler):  # type: ignore[misc]
    """Serves the requests of one connection."""

    rfile: Any
    wsgi_input: RequestBody

    def handle_one_request(self) -> Any:
        self.server.starts_waiting(self.socket.fileno())
        with gevent.Timeout(HEADER_S) as self._head_timeout:
            try:
                return super().handle_one_request()
            except gevent.Timeout:
                return None  # the head did not come in time

    def read_requestline(self) -> str:
        line: bytes = self.rfile.readline(REQUEST_LINE_BYTES)
        if line == b"\r\n":  # some clients send one after a body: RFC 9112, section 2.2
            line = self.rfile.readline(REQUEST_LINE_BYTES)
        return line.decode("latin-1")

    def read_request(self, raw_requestline: str) -> bool:
        head = read_head(raw_requestline.encode("latin-1"), self.rfile)
        if head.content_length > self.server.max_body_bytes:
            limit_mb = self.server.max_body_bytes // 1_000_000
            raise RequestRefused("413 Content Too Large", f"The limit of a body is {limit_mb} MB.")
        self._head = head
        self._head_timeout.close()
        if not head.content_length:
            self.server.stops_waiting(self.socket.fileno())
        self.command, self.path, self.request_version = head.method, head.path, head.version
        self.close_connection = not head.keep_alive
        return True

    def get_environ(self) -> dict[str, Any]:
        self.wsgi_input = RequestBody(
            self.rfile,
            self._head.content_length,
            on_first_read=self._ask_for_body if self._head.expects_continue else None,
            on_end=lambda: self.server.stops_waiting(self.socket.fileno()),
        )
        environ: dict[str, Any] = self.server.get_environ()
        environ.update(wsgi_variables(self._head))
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = map(str, self.client_address[:2])
        environ["wsgi.url_scheme"] = self.server.scheme
        environ["wsgi.input"] = self.wsgi_input
        environ["wsgi.input_terminated"] = True
        environ[CLIENT] = Client(self.socket)
        return environ

    def _ask_for_body(self) -> None:
        self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def finalize_headers(self) -> None:
        """End a body of unknown length by closing: many MJPEG clients cannot read chunks."""
        if self.wsgi_input.left:  # the next request would begin with it
            self.close_connection = True
        super().finalize_headers()
        if self.response_use_chunked:  # type: ignore[has-type]
            self.response_use_chunked = False
            self.close_connection = True
            self.response_headers.remove((b"Transfer-Encoding", b"chunked"))
        if self.close_connection and not any(n == b"Connection" for n, _ in self.response_headers):
            self.response_headers.append((b"Connection", b"close"))

    def handle_error(self, kind: type, error: BaseException, trace: TracebackType) -> None:
        """Log a failure without the query, which may hold a token; ignore a client that left."""
        if isinstance(error, OSError):
            self.close_connection = True
            return
        if not isinstance(error, gevent.GreenletExit):
            path = self.environ.get("PATH_INFO", "")
            log.error("web: %s %s failed", self.command, path, exc_info=(kind, error, trace))
        self._send_error_response_if_possible(500)

    def _handle_client_error(self, error: BaseException) -> None:
        """Answer a request that is refused before the application sees it."""
        if not isinstance(error, RequestRefused):
            if isinstance(error, OSError):
                return
            raise error
        body = f"{error}\n"
        head = (
            f"HTTP/1.1 {error.status}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with suppress(OSError), gevent.Timeout(LINGER_S, False):
            self.socket.sendall(f"{head}{body}".encode())
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(65536):  # else a reset may overtake the answer
                pass

    def _sendall(self, data: Any) -> None:
        """Send `data`; the client has STALLED_S for each step, not for the whole.

        A body without a length is a stream, which does not count as waiting for its client.
        """
        self.response_length += len(data)
        unsent = memoryview(data)[self.socket.send(data) :]
        if not unsent:
            return
        if self.provided_content_length is not None:
            self.server.starts_waiting(self.socket.fileno())
        while unsent:
            unsent = unsent[self.socket.send(unsent) :]
        self.server.stops_waiting(self.socket.fileno())
