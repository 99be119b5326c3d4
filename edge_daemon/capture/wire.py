"""Reads the answers of HTTP cameras within a deadline; repairs and limits their headers."""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from contextlib import suppress
from typing import Final

BUFFER_BYTES: Final = 65_536
_CONTINUE: Final = (b"HTTP/1.0 100", b"HTTP/1.1 100")
_MOST_HEADERS, _LONGEST_HEADER, _LONGEST_HEAD = 90, 8192, 1_000_000  # lines, bytes, bytes


class Deadline:
    """A point in monotonic time, which can be moved."""

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s

    def left_s(self) -> float:
        """Return the seconds left. Raises TimeoutError if there are none."""
        left_s = self.at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        return left_s


class Wire:
    """A socket for `HTTPResponse`, which only calls `makefile`."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._timeout_s, self._least = 0.0, 1  # of `receive`

    def receive(self, timeout_s: float, least: int = 1) -> bytes:
        """Return the next bytes, at most BUFFER_BYTES; b"" at the end.

        Without TLS it waits until `least` bytes have come, so that not every packet wakes the
        thread. Call it once the file has returned all that it holds. Raises TimeoutError.
        """
        if timeout_s != self._timeout_s:
            self._sock.settimeout(timeout_s)
            self._timeout_s = timeout_s
        least = min(least, BUFFER_BYTES)
        if least != self._least and not isinstance(self._sock, ssl.SSLSocket):
            with suppress(OSError):  # not every system has it
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
            self._least = least
        return self._sock.recv(BUFFER_BYTES)

    def makefile(self, mode: str) -> io.BufferedReader:
        return _LenientReader(_TimedFile(self._sock, self._deadline), BUFFER_BYTES)


class _TimedFile(io.RawIOBase):
    """Reads a socket until a deadline, even if bytes keep arriving slowly."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        self._sock.settimeout(self._deadline.left_s())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _LenientReader(io.BufferedReader):
    """Repairs the header of an answer while it is read, so that the standard library accepts it."""

    def __init__(self, raw: io.RawIOBase, buffer_size: int) -> None:
        super().__init__(raw, buffer_size)
        self._lines = self._bytes = 0
        self._in_head = True
        self._is_interim = False  # an answer of 1xx, which another one follows
        self._in_header = False  # then an indented line continues the header

    def readline(self, size: int | None = -1, /) -> bytes:
        if not self._in_head:
            return super().readline(size)
        while True:
            line = self._head_line()
            if not self._lines and line in {b"\r\n", b"\n"} and self._bytes < _LONGEST_HEADER:
                continue  # blank lines before the status
            self._lines += 1
            if self._lines == 1:
                status = _status_line(line)
                self._is_interim = status.startswith(_CONTINUE)
                return status
            if not line.strip():
                self._in_head, self._lines = self._is_interim, 0
                return line
            is_header = re.match(rb"[^\s:]+[ \t]*:", line) is not None
            is_folded = self._in_header and line[:1] in {b" ", b"\t"}
            self._in_header = (is_header or is_folded) and self._lines <= _MOST_HEADERS
            if self._in_header:
                return re.sub(rb"^([^\s:]+)[ \t]+:", rb"\1:", line)

    def _head_line(self) -> bytes:
        """Return one line, cut to _LONGEST_HEADER bytes."""
        line = super().readline(_LONGEST_HEADER)
        self._bytes += len(line)
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = super().readline(_LONGEST_HEADER)
            self._bytes += len(rest)
            if self._bytes > _LONGEST_HEAD:
                break
        if self._bytes > _LONGEST_HEAD:
            raise http.client.HTTPException("its header has no end")
        return line if line.endswith(b"\n") or not line else line + b"\r\n"


def _status_line(line: bytes) -> bytes:
    """Repair a status line of ICY, HTTP/2 or http/1.0; add one before an answer without it."""
    if line.startswith(b"--"):
        return b"HTTP/1.0 200 OK\r\n"
    if re.match(rb"HTTP/1\.[01] ", line):
        return re.sub(rb"(?<= )1(?!01)\d\d\b", b"100", line, count=1)  # as early hints are
    return re.sub(rb"^[A-Za-z]+(/[\d.]+)? +(?=\d{3}\b)", b"HTTP/1.0 ", line)
