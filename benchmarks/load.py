"""What the web benchmarks share: many viewers in one thread, and what a process has used."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PICTURE = b"image/jpeg"  # in each part's header; servers differ in the rest


def connect(port: int, count: int, request: bytes) -> list[socket.socket]:
    """`count` connections that have sent `request`."""
    viewers = []
    for _ in range(count):
        viewer = socket.create_connection(("127.0.0.1", port), 20)
        viewer.sendall(request)
        viewers.append(viewer)
    return viewers


def connect_unheard(port: int, count: int, request: bytes) -> list[socket.socket]:
    """`count` connections that try to send `request`, whether the server takes them or not."""
    unheard = []
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        unheard.append(client)
        time.sleep(0.0005)  # a thousand in half a second
        with suppress(OSError):
            client.send(request)
    return unheard


def read_all(viewers: Sequence[socket.socket], duration_s: float) -> list[int]:
    """Return how many pictures each viewer gets in `duration_s`; those it lost hold their count."""
    selector = selectors.DefaultSelector()
    pictures = dict.fromkeys(viewers, 0)
    for viewer in viewers:
        viewer.setblocking(False)
        selector.register(viewer, selectors.EVENT_READ, viewer)
    end_s = time.monotonic() + duration_s
    buffer = bytearray(1 << 18)
    while (left_s := end_s - time.monotonic()) > 0:
        for key, _ in selector.select(left_s):
            viewer = key.data
            size = 0
            with suppress(OSError):
                size = viewer.recv_into(buffer)
            if not size:
                selector.unregister(viewer)
            pictures[viewer] += buffer.count(PICTURE, 0, size)
    return list(pictures.values())


def close(viewers: Sequence[socket.socket]) -> None:
    for viewer in viewers:
        viewer.close()


def cpu_s(pid: int) -> float:
    """Processor seconds that process `pid` has used, with threads that have ended.

    It reads the process's clock, which counts nanoseconds (clock_getcpuclockid(3)); /proc/PID/stat
    has the same sum in hundredths of a second.
    """
    return time.clock_gettime(~pid << 3 | 2)


def family_cpu_s(pid: int) -> float:
    """Processor seconds of process `pid` and of the processes it has started, while they run."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    started = [int(word) for path in children for word in path.read_text().split()]
    return cpu_s(pid) + sum(map(family_cpu_s, started))


def proportional_mb(pid: int) -> float:
    """Memory of process `pid`, with its share of what it has in common with others (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup has no Pss")


def memory_mb(pid: int) -> float:
    """Resident memory of process `pid`."""
    return _status(pid, "VmRSS") / 1024


def threads(pid: int) -> int:
    return _status(pid, "Threads")


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise ValueError(f"/proc/{pid}/status has no {field}")
