"""Four WSGI servers with the same stream of pictures: the table of docs/adr's server choice.

    python -m benchmarks.servers           (make bench-servers; needs cheroot and waitress)

Each server runs in a process of its own and sends a 30 KB picture 15 times a second. Compare the
rows, not the milliseconds: the clients share the machine with the server.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from flask import Flask, Response

from benchmarks.load import close, connect, connect_unheard, cpu_s, memory_mb, read_all, threads

SERVERS = ("gevent", "cheroot", "waitress", "werkzeug")
VIEWERS = 100
FPS = 15
MEASURE_S = 5.0
JPEG = bytes(30_000)
PART = b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: 30000\r\n\r\n" + JPEG + b"\r\n"
STREAM = b"GET /stream HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost: 127"


def application(wait: Callable[[], None]) -> Flask:
    """Return a page and a stream that sends a picture after each `wait`."""
    app = Flask(__name__)

    def pictures() -> Iterator[bytes]:
        while True:
            wait()
            yield PART

    app.add_url_rule("/", "page", lambda: "page")
    app.add_url_rule("/stream", "stream", lambda: Response(pictures(), mimetype="multipart/x"))
    return app


def serve(name: str, port: int) -> None:
    """Serve until killed."""
    changed = threading.Condition()

    def wait() -> None:
        with changed:
            changed.wait(1.0)

    def notify() -> None:
        with changed:
            changed.notify_all()

    if name == "gevent":
        _tick(_gevent(port))
    threading.Thread(target=_tick, args=(notify,), daemon=True).start()
    many = VIEWERS + 8
    if name == "cheroot":
        from cheroot.wsgi import Server  # noqa: PLC0415

        Server(
            ("127.0.0.1", port),
            application(wait),
            numthreads=many,
            timeout=5,
            request_queue_size=128,
        ).start()
    elif name == "waitress":
        import waitress  # noqa: PLC0415

        app = application(wait)
        waitress.serve(app, port=port, threads=many, connection_limit=2000, send_bytes=1)
    else:
        application(wait).run(port=port, threaded=True)


def _gevent(port: int) -> Callable[[], None]:
    from edge_daemon.web.server.loop import Loop  # noqa: PLC0415
    from edge_daemon.web.server.server import HttpServer  # noqa: PLC0415

    loop = Loop()
    server = HttpServer(
        app=application(loop.wait),
        loop=loop,
        host="127.0.0.1",
        port=port,
        tls=None,
        max_connections=256,
        max_body_bytes=0,
        on_failure=lambda error: sys.exit(str(error)),
    )
    server.start()
    return loop.ring


def _tick(notify: Callable[[], None]) -> None:
    while True:
        time.sleep(1 / FPS)
        notify()


def page_s(port: int, timeout_s: float = 10.0) -> float:
    """Return how long the page takes; infinite where it does not come within `timeout_s`."""
    start_s = time.monotonic()
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=timeout_s):
        return time.monotonic() - start_s
    return float("inf")


def measure(name: str, port: int) -> dict[str, Any]:
    """One server's row."""
    child = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "benchmarks.servers", "--serve", name, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while page_s(port) == float("inf"):
            time.sleep(0.1)
        empty_mb = memory_mb(child.pid)
        viewers = connect(port, VIEWERS, STREAM)
        read_all(viewers, 1.0)
        before_s = cpu_s(child.pid)
        counts = read_all(viewers, MEASURE_S)
        used_s = cpu_s(child.pid) - before_s
        row = {
            "server": name,
            "fps, slowest viewer": min(counts) / MEASURE_S,
            "fps, median": statistics.median(counts) / MEASURE_S,
            "CPU µs a picture": 1e6 * used_s / max(sum(counts), 1),
            "threads": threads(child.pid),
            "MB more": memory_mb(child.pid) - empty_mb,
        }
        close(viewers)
        time.sleep(1)
        before_mb = memory_mb(child.pid)
        stalled = connect(port, 50, STREAM)
        time.sleep(3)
        row["KB a stalled viewer"] = 1024 * (memory_mb(child.pid) - before_mb) / 50
        close(stalled)
        time.sleep(1)
        half = connect_unheard(port, 1000, HALF)
        row["page behind 1,000 half requests, s"] = page_s(port)
        close(half)
        return row
    finally:
        child.kill()
        child.wait()


def main() -> None:
    """Measure each server and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=SERVERS)
    parser.add_argument("--port", type=int, default=18_080)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port)
        return
    rows = [measure(name, options.port + number) for number, name in enumerate(SERVERS)]
    print("| " + " | ".join(rows[0]) + " |")
    print("|---" * len(rows[0]) + "|")
    for row in rows:
        print(
            "| " + " | ".join(v if isinstance(v, str) else f"{v:.4g}" for v in row.values()) + " |"
        )


if __name__ == "__main__":
    main()
