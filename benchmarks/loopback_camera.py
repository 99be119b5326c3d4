"""An MJPEG camera on loopback: a process of its own that replays the pictures of a folder.

    python -m benchmarks.loopback_camera FOLDER

Prints its port. `/NAME/FPS` plays the pictures of FOLDER/NAME there and back again, without end;
a client that is slow misses pictures.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.clips import ROOT

HEADER = b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


class _Pictures(BaseHTTPRequestHandler):
    """Plays a folder to one client."""

    folder: Path

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        """Send pictures until the client leaves."""
        _, name, fps = self.path.split("/")
        paths = sorted((self.folder / name).glob("*.jpg"), key=lambda path: int(path.stem))
        pictures = [path.read_bytes() for path in paths]
        pictures += pictures[-2:0:-1]
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        period_s, started_s = 1 / float(fps), time.monotonic()
        number = 0
        try:
            while True:
                jpeg = pictures[number % len(pictures)]
                self.wfile.write(HEADER % len(jpeg) + jpeg + b"\r\n")
                number = max(number + 1, int((time.monotonic() - started_s) / period_s))
                time.sleep(max(started_s + number * period_s - time.monotonic(), 0))
        except OSError:
            pass  # the client has left


@contextmanager
def loopback_camera(folder: Path) -> Iterator[str]:
    """Run the camera; gives its address without a path."""
    words = [sys.executable, "-m", "benchmarks.loopback_camera", str(folder)]
    child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert child.stdout is not None  # noqa: S101
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"
    finally:
        child.terminate()
        child.communicate()


def main() -> None:
    """Serve until terminated."""
    _Pictures.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pictures)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
