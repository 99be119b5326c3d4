"""A network camera that attacks its clients, for `benchmarks.attacks`."""

from __future__ import annotations

import io
import multiprocessing
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
from PIL import Image


class HostileCamera:
    """An MJPEG camera that works until a process sets `turned`; then it attacks its clients."""

    def __init__(self, jpegs: list[bytes]) -> None:
        self.turned = multiprocessing.Event()
        self._jpegs, self._number = jpegs, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://me:secret@127.0.0.1:{self._server.getsockname()[1]}/cam.mjpg"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._server.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        ok = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"
        with suppress(OSError), client:
            client.recv(4096)
            if not self.turned.is_set():
                client.sendall(ok)
                for number in range(10**9):
                    jpeg = self._jpegs[number % len(self._jpegs)]
                    head = f"--b\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    client.sendall(head.encode() + jpeg + b"\r\n")
                    time.sleep(1 / 15)
                    if self.turned.is_set():
                        return
            self._number += 1
            for data in self._hostile(ok)[self._number % 12]():
                if not self.turned.is_set():
                    return
                client.sendall(data)

    def _hostile(self, ok: bytes) -> list[Callable[[], Iterator[bytes]]]:
        bombs = worst_bombs()

        def endless(first: bytes, rest: bytes) -> Callable[[], Iterator[bytes]]:
            def sent() -> Iterator[bytes]:
                yield first
                while True:
                    yield rest

            return sent

        return [
            endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 60_000 + b"\r\n"),
            endless(b"HTTP/1.1 ", b"9" * 60_000),
            endless(b"HTTP/1.1 500 ", b"\x1b[31m\x00\r\xff" * 10_000),
            endless(ok, b"\xff\xd8\xff\xe0" + bytes(60_000)),
            endless(ok, b"--b\r\nContent-Length: 99999999999999999999\r\n\r\n" + b"x" * 60_000),
            endless(ok + b"--b\r\n\r\n", b"\xff\xd8\xff\xe1\x00\x02" * 10_000),
            endless(ok, b"--b\r\n\r\n" + bombs[0]),
            endless(ok, b"--b\r\n\r\n" + bombs[1]),
            endless(ok, b"--b\r\n" * 12_000),
            endless(
                ok.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), b"f" * 60_000
            ),
            endless(b"HTTP/1.1 302 F\r\nLocation: /" + b"a" * 50_000 + b"\r\n\r\n", b"x"),
            endless(b'HTTP/1.1 401 U\r\nWWW-Authenticate: Digest nonce="', b"n" * 60_000),
        ]


def worst_bombs() -> list[bytes]:
    """Return the most expensive picture of a camera, and one with a wrong size in its header."""
    white = np.full((3500, 3500, 3), 255, np.uint8)
    content = io.BytesIO()
    Image.fromarray(white).save(content, "JPEG", progressive=True)
    jpeg = content.getvalue()
    at = jpeg.index(b"\xff\xc2") + 5
    return [jpeg, jpeg[:at] + struct.pack(">HH", 65500, 65500) + jpeg[at + 4 :]]
