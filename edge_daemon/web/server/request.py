"""Reads a request from a connection: its head, its WSGI environment, and its body."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import gevent
from werkzeug.exceptions import ClientDisconnected

from edge_daemon.web.server.grammar import (
    HEADER_BYTES,
    MAX_FIELDS,
    RequestHead,
    RequestRefused,
    parse_head,
)

DISCARD_S: Final = 5.0
CGI_NAMES: Final = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


def read_head(first_line: bytes, stream: Any) -> RequestHead:
    """Read the lines after `first_line` up to the blank one, and parse them all.

    Raises RequestRefused for a head that is malformed, too long or cut off.
    """
    lines, left = [first_line], HEADER_BYTES - len(first_line)
    if not first_line.endswith(b"\r\n"):
        raise RequestRefused("400 Bad Request", "A line does not end with CR LF.")
    while (line := stream.readline(left + 1)) != b"\r\n":
        left -= len(line)
        if left < 0 or len(lines) > MAX_FIELDS:
            raise RequestRefused("431 Request Header Fields Too Large", "The header is too long.")
        if not line.endswith(b"\r\n"):
            raise RequestRefused("400 Bad Request", "A line does not end with CR LF.")
        lines.append(line)
    return parse_head(lines)


def wsgi_variables(head: RequestHead) -> dict[str, str]:
    """Return the request's variables of PEP 3333.

    Fields whose names contain an underscore are left out: they would look the same as those with a
    hyphen, which a proxy sets. So is Upgrade: no other protocol is spoken here, and RFC 9110 lets
    a server ignore it.
    """
    variables = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(head.path).decode("latin-1"),
        "QUERY_STRING": head.query,
        "SERVER_PROTOCOL": head.version,
    }
    for name, value in head.fields:
        if "_" in name or name == "upgrade":
            continue
        variable = CGI_NAMES.get(name) or "HTTP_" + name.replace("-", "_").upper()
        before = variables.get(variable)
        separator = "; " if name == "cookie" else ", "
        variables[variable] = value if before is None else f"{before}{separator}{value}"
    if head.host:
        variables["HTTP_HOST"] = head.host
    return variables


class RequestBody:
    """The body of a request, for the application as `wsgi.input`.

    `on_first_read` is called before the first byte is read, if the client waits for permission to
    send the body. `on_end` is called when all of it has been read.
    """

    def __init__(
        self,
        stream: Any,
        length: int,
        *,
        on_first_read: Callable[[], None] | None,
        on_end: Callable[[], None],
    ) -> None:
        self._stream, self._left = stream, length
        self._on_first_read = on_first_read
        self._on_end = on_end

    @property
    def left(self) -> int:
        """The number of bytes not read yet."""
        return self._left

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, or all that are left. Raises ClientDisconnected at an early end."""
        wanted = self._wanted(size)
        data = self._receive(self._stream.read, wanted)
        if len(data) < wanted:
            raise ClientDisconnected
        return data

    def readline(self, size: int | None = -1) -> bytes:
        """Read a line of up to `size` bytes. Raises ClientDisconnected."""
        wanted = self._wanted(size)
        line = self._receive(self._stream.readline, wanted)
        if len(line) < wanted and not line.endswith(b"\n"):
            raise ClientDisconnected
        return line

    def readlines(self, _hint: int | None = -1) -> list[bytes]:
        """Read all lines that are left."""
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _discard(self) -> None:
        """Read the rest of the body, for DISCARD_S at most. pywsgi calls this.

        Otherwise a client that is still sending would be cut off before it has read the answer.
        """
        if self._on_first_read is None:
            with gevent.Timeout(DISCARD_S, False), suppress(ClientDisconnected):
                while self._left:
                    self.read(65_536)

    def _wanted(self, size: int | None) -> int:
        return self._left if size is None or size < 0 else min(size, self._left)

    def _receive(self, reader: Callable[[int], bytes], wanted: int) -> bytes:
        if not wanted:
            return b""
        on_first_read, self._on_first_read = self._on_first_read, None
        try:
            if on_first_read is not None:
                on_first_read()
            data = reader(wanted)
        except OSError:
            raise ClientDisconnected from None
        self._left -= len(data)
        if not self._left:
            self._on_end()
        return data
