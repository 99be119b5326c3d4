"""A request's bytes in, its header and its body out, within bounds. A part of the adapter."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import gevent
from gevent.pywsgi import Input
from werkzeug.exceptions import ClientDisconnected

HEADER_S: Final = 5.0  # for the TLS handshake and each request's header, from its first wait on
HEADER_BYTES: Final = 32_768


class Refused(ValueError):
    """A request that cannot be served; `args` are the status line and a sentence."""


class Head:
    """The lines of a request's header, HEADER_BYTES of them at most."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._left = stream, HEADER_BYTES

    def readline(self, limit: int) -> bytes:
        line: bytes = self._stream.readline(min(limit, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise Refused("431 Request Header Fields Too Large", "The header is too long.")
        return line


class Body(Input):  # type: ignore[misc]
    """A request's body; until all of it is there, its connection waits for its client."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Any, asked: Any) -> None:
        super().__init__(handler.rfile, handler.content_length, socket=asked)
        self._handler = handler

    def _do_read(self, length: int | None = None, use_readline: bool = False) -> bytes:
        """Some of it. Raises ClientDisconnected when it does not come."""
        try:
            read: bytes = super()._do_read(length, use_readline)
        except OSError:
            self._handler.close_connection = True
            raise ClientDisconnected from None
        if self.position >= (self.content_length or 0):
            self._handler.server.goes_on(self._handler.socket.fileno())
        return read

    def _discard(self) -> None:
        """Read what nobody wanted, or the next request would begin with it; but not for long."""
        if self.position < (self.content_length or 0):
            self._handler.close_connection = True
            with gevent.Timeout(HEADER_S, False), suppress(ClientDisconnected):
                super()._discard()
