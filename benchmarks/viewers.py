"""Compares the daemon with motion on the same clip, for one viewer and a hundred.

    python -m benchmarks.viewers CLIP [SECONDS] [ROUNDS]         (make bench-viewers CLIP=…)

Needs Debian's `motion`. The clip is played at 15 frames a second, 640×480, JPEG quality 80. Both
take turns, and each figure is the median of the rounds. The viewers share the machine with the
servers: compare the columns of one run. A picture's age is that when it is sent. Viewers are served
in the order of their coming: the first one's pictures are as old as the pipeline and the encoding
make them, the last one's have waited for all the others; motion tells no ages. What a picture more
costs is the processor time beyond that of one viewer's frames.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median

from benchmarks import peers, running
from benchmarks.latency import ages, percentiles
from benchmarks.load import close, connect, cpu_s, memory_mb, read_all, threads
from benchmarks.scenes import Mode

VIEWERS = 100
Server = Callable[[Path, Path], AbstractContextManager[tuple[int, int, str]]]
WARM_S = 3.0
SETTLING = 30  # of a probe's pictures, while the others connect
CLIP_S = 90


@contextmanager
def daemon(clip: Path, folder: Path) -> Iterator[tuple[int, int, str]]:
    """A running daemon's process, port and stream path."""
    settings = {"camera.source": clip, "camera.fps": 15, "web.max_viewers": VIEWERS + 10}
    with running.daemon(settings, folder) as found:
        yield found.pid, found.port, "/stream.mjpg"


@contextmanager
def motion(clip: Path, folder: Path) -> Iterator[tuple[int, int, str]]:
    """The same of motion."""
    with peers.motion(peers.Camera(f"file://{clip}", clip, Mode(640, 480, 15)), folder) as found:
        yield found.pid, found.port, found.paths[peers.DRAWN]


class Probe(threading.Thread):
    """A viewer that measures its pictures' ages in milliseconds from capture to sending."""

    def __init__(self, port: int, path: str, duration_s: float) -> None:
        super().__init__()
        self._url, self._duration_s = f"http://127.0.0.1:{port}{path}", duration_s
        self.watching = threading.Event()
        self._seen_ms: list[float] = []

    def run(self) -> None:
        with urllib.request.urlopen(self._url, timeout=10) as stream:  # noqa: S310
            self.watching.set()
            self._seen_ms.extend(age.sent_ms for age in ages(stream, self._duration_s))

    def result(self) -> tuple[float, float]:
        """Return the median and the 99th percentile, once it has seen all."""
        self.join()
        return percentiles(self._seen_ms[SETTLING:])


def measure(pid: int, port: int, path: str, count: int, duration_s: float) -> dict[str, float]:
    """Return what `count` viewers get and cost; two more, the first and the last, are probes."""
    probes = [Probe(port, path, WARM_S + duration_s) for _ in range(2 * (path != "/"))]
    for probe in probes[:1]:
        probe.start()
        probe.watching.wait()
    viewers = connect(port, count, f"GET {path} HTTP/1.0\r\n\r\n".encode())
    for probe in probes[1:]:
        probe.start()
    read_all(viewers, WARM_S)
    before_s = cpu_s(pid)
    counts = read_all(viewers, duration_s)
    used_s = cpu_s(pid) - before_s
    row: dict[str, float] = {
        "frames a second, slowest viewer": min(counts) / duration_s,
        "frames": max(counts),
        "pictures": sum(counts),
        "CPU s": used_s,
        "CPU µs a picture": 1e6 * used_s / max(sum(counts), 1),
        "MB": memory_mb(pid),
        "threads": threads(pid),
    }
    close(viewers)
    for name, probe in zip(("first", "last"), probes, strict=False):
        row[f"age median, {name}, ms"], row[f"age p99, {name}, ms"] = probe.result()
    return row


def both(
    server: Server, clip: Path, folder: Path, duration_s: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the rows of one viewer and of VIEWERS, and what a picture more costs in the latter."""
    with server(clip, folder) as found:
        time.sleep(WARM_S)
        few, many = (measure(*found, count, duration_s) for count in (1, VIEWERS))
    frames_s = few["CPU s"] * many["frames"] / max(few["frames"], 1)
    more = max(many["pictures"] - many["frames"], 1)
    many["CPU µs for a picture more"] = 1e6 * (many["CPU s"] - frames_s) / more
    return few, many


def long_clip(clip: Path, folder: Path) -> Path:
    """Write the clip repeatedly, at 15 frames a second, for the longest measurement."""
    result = folder / "clip.mkv"
    words = ["ffmpeg", "-v", "error", "-stream_loop", "-1", "-t", str(CLIP_S), "-i", str(clip)]
    words += ["-r", "15", "-s", "640x480", "-c:v", "mjpeg", "-q:v", "4", "-t", str(CLIP_S)]
    subprocess.run([*words, str(result)], check=True)  # noqa: S603
    return result


def main() -> None:
    """Measure both in turns and print the table."""
    words = dict(enumerate(sys.argv))
    if not Path(words.get(1, "")).is_file():
        raise SystemExit("name a video that is there: make bench-viewers CLIP=clip.mp4")
    duration_s, rounds = float(words.get(2, 20)), int(words.get(3, 3))
    seen: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = long_clip(Path(sys.argv[1]), folder)
        for _ in range(rounds):
            for server in (daemon, motion):
                seen.setdefault(server.__name__, []).append(both(server, clip, folder, duration_s))
    for name, rows in seen.items():
        print_table(name, rows)


def print_table(name: str, rows: list[tuple[dict[str, float], dict[str, float]]]) -> None:
    print(f"\n| {name} | 1 viewer | {VIEWERS} viewers | worst of {len(rows)} |\n|---|---|---|---|")
    for key in rows[0][1]:
        few = [row[0].get(key, float("nan")) for row in rows]
        many = [row[1][key] for row in rows]
        worst = min(many) if key.startswith("frames a") else max(many)
        print(f"| {key} | {median(few):.4g} | {median(many):.4g} | {worst:.4g} |")


if __name__ == "__main__":
    main()
