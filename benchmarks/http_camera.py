"""HTTP cameras by our own reader and by FFmpeg: processor time, and what faults do.

    python -m benchmarks.http_camera

A camera on loopback, in a process of its own, serves the demo's pictures at 640×480; both readers
take turns, so that they share whatever else the machine does: compare the ratio.
"""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np

from edge_daemon.capture.address import parse_address
from edge_daemon.capture.demo.scene import Demo
from edge_daemon.capture.mjpeg import open_jpegs
from edge_daemon.capture.sources import Source, SourceAwayError
from edge_daemon.capture.video import NetworkVideo
from edge_daemon.core.types import ImageBgr

FRAMES, ROUNDS = 100, 5
HEAD = "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


def ours(url: str) -> Source:
    camera = open_jpegs(parse_address(url), timeout_s=5.0, fps=15.0)
    assert camera is not None  # noqa: S101
    return camera


def ffmpeg(url: str) -> Source:
    return NetworkVideo(parse_address(url), timeout_s=5.0, tls_verify=True)


READERS: dict[str, Callable[[str], Source]] = {"ours": ours, "FFmpeg": ffmpeg}


def jpegs(width: int, height: int) -> list[bytes]:
    demo = Demo(width, height)
    return [cv2.imencode(".jpg", demo.render(n / 10))[1].tobytes() for n in range(20)]


def serve(server: socket.socket) -> None:
    """By the path asked for: /pictures, /cut in the fourth picture, /resized after the third."""
    large, small = jpegs(640, 480), jpegs(320, 240)
    while True:
        client, _ = server.accept()
        path = client.recv(4096).split()[1].decode()
        pictures = large * 20 if path == "/pictures" else large[:3]
        pictures = pictures + small if path == "/resized" else pictures
        try:
            client.sendall(HEAD.encode())
            for jpeg in pictures:
                client.sendall(part(jpeg) + b"\r\n")
            if path == "/cut":
                client.sendall(part(large[3])[:-20_000])
        except OSError:
            pass  # the reader has had enough
        client.close()


def part(jpeg: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg


def cpu_ms(open_source: Callable[[str], Source], url: str) -> float:
    """Processor milliseconds a frame."""
    source = open_source(url)
    source.read()
    began_s = time.process_time()
    for _ in range(FRAMES):
        source.read()
    spent_s = time.process_time() - began_s
    source.close()
    return 1000 * spent_s / FRAMES


def shown(open_source: Callable[[str], Source], url: str) -> list[ImageBgr]:
    """Return the pictures it gives back until the end."""
    source, pictures = open_source(url), []
    try:
        while (image := source.read()) is not None:
            pictures.append(image.picture.bgr)
    except SourceAwayError:
        pass
    source.close()
    return pictures


def main() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    multiprocessing.Process(target=serve, args=(server,), daemon=True).start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    times: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(ROUNDS):
        for name, opened in READERS.items():
            times[name].append(cpu_ms(opened, url + "/pictures"))
    whole = np.asarray(cv2.imdecode(np.frombuffer(jpegs(640, 480)[3], np.uint8), 1))
    for name, opened in READERS.items():
        cut, resized = shown(opened, url + "/cut"), shown(opened, url + "/resized")
        damaged = len(cut) > 3 and not np.array_equal(cut[3], whole)
        sizes = sorted({f"{p.shape[1]}x{p.shape[0]}" for p in resized})
        print(
            f"{name:>6}: {statistics.median(times[name]):.2f} ms a frame; a picture cut in its "
            f"middle is {'shown' if damaged else 'left out'}; sizes shown: {', '.join(sizes)}"
        )


if __name__ == "__main__":
    main()
