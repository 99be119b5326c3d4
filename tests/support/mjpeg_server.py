"""A network camera on loopback that can be stopped, frozen, cut and restarted."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import cv2

from edge_daemon.capture.demo.scene import Demo
from support.ports import free_port

# silent: sends nothing more; still: repeats one picture; close: ends after a picture;
# cut: ends within a picture; damaged: every other picture lacks its second half;
# refuse: answers 503; bare: sends no Content-Length; png: answers with a picture, not a stream.
Mode = Literal["ok", "silent", "still", "close", "cut", "damaged", "refuse", "bare", "png"]


def demo_jpegs(width: int, height: int, count: int = 30) -> list[bytes]:
    """Return the demo's first seconds as JPEG pictures."""
    demo = Demo(width, height)
    return [cv2.imencode(".jpg", demo.render(n / 10))[1].tobytes() for n in range(count)]


class MjpegServer(ThreadingHTTPServer):
    """Serves `jpegs` in a loop; requires `user` ("name:password") if it is set."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        jpegs: list[bytes],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        interval_s: float = 0.03,
    ) -> None:
        super().__init__((host, port or free_port()), _Handler)  # it may come back
        self.host = host
        self.jpegs = jpegs
        self.mode: Mode = "ok"
        self.user = ""
        self.interval_s = interval_s
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        self._serving = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._serving.start()

    @property
    def url(self) -> str:
        return f"http://viewer:secret@{self.host}:{self.server_port}/cam.mjpg?key=secret"

    def stop(self) -> None:
        """Break all connections and accept none, as after a power cut."""
        self.closing.set()
        self.shutdown()
        self._serving.join()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):  # it may have ended by itself
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: MjpegServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.connections.add(self.connection)
        try:
            if self._may_enter():
                self._stream()
        except OSError:
            pass  # the client has gone
        finally:
            self.server.connections.discard(self.connection)

    def _may_enter(self) -> bool:
        user = self.server.user
        given = self.headers.get("Authorization", "")
        if user and given != "Basic " + base64.b64encode(user.encode()).decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return False
        if self.server.mode == "refuse":
            self.send_error(503)
            return False
        if self.server.mode == "png":
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            return False
        return True

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = -1
        while not self.server.closing.wait(self.server.interval_s):
            mode = self.server.mode
            if mode == "close":
                return
            if mode == "silent":
                continue
            number = 0 if mode == "still" else number + 1
            jpeg = self.server.jpegs[number % len(self.server.jpegs)]
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            if mode == "bare":
                head = "--frame\r\nContent-Type: image/jpeg\r\n\r\n"
            if mode == "cut" or (mode == "damaged" and number % 2 == 0):
                jpeg = jpeg[: len(jpeg) // 2]
            self.wfile.write(head.encode() + jpeg)
            if mode == "cut":
                return
            self.wfile.write(b"\r\n")
