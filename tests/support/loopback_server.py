"""Servers on loopback that a test starts and stops: plain TCP, and HTTP with a handler."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any, Self


class TcpServer:
    """Calls `serve` with each client's socket, in a thread for each."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self.requests: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.getsockname()[1])

    def serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.closing.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()


class HttpServed:
    """Serves HTTP by `handler`; use it as a context manager."""

    def __init__(self, handler: Callable[..., Any], host: str = "127.0.0.1") -> None:
        self._http = ThreadingHTTPServer((host, 0), handler)
        self.base_url = f"http://{host}:{self._http.server_port}"
        self._serving = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._serving.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._serving.join()
        self._http.server_close()
