"""The daemon under 512 MiB of memory, attacked in every way at hand, and what its viewers notice.

    python -m benchmarks.attacks [SECONDS]

Writes benchmarks/attacks.md. Each attack of benchmarks/attackers.py runs for SECONDS (12) while a
viewer counts pictures and asks for the page's state ten times a second. The camera delivers 15
pictures a second. Needs root, for the control group, and mosquitto.
"""

from __future__ import annotations

import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile

import cv2

from benchmarks.attackers import (
    ATTACKS,
    TOKEN,
    Attack,
    Target,
    ask,
    broker,
    worst_pictures,
)
from benchmarks.clips import ROOT
from benchmarks.hostile_camera import HostileCamera
from benchmarks.load import memory_mb
from benchmarks.memory_group import MemoryGroup, memory_group
from benchmarks.running import daemon
from edge_daemon.capture.demo.scene import Demo
from edge_daemon.web.credentials import hash_password, hash_token

LIMIT_BYTES = 512 * 1024 * 1024
WARM_S, REST_S, ASK_S = 20.0, 4.0, 0.1
RATE_FROM = "camera"  # its own attack leaves no pictures to count


@dataclass
class Watch:
    """What a viewer with the token sees; `run` is the body of a thread."""

    port: int
    stop: threading.Event
    pictures: int = 0
    waits_s: list[float] = field(default_factory=list)

    def ask(self) -> None:
        """Ask for the state again and again."""
        while not self.stop.is_set():
            began_s = time.monotonic()
            answered = _asked(self.port, "/state")
            self.waits_s.append(time.monotonic() - began_s if answered else float("inf"))
            self.stop.wait(ASK_S)

    def count(self) -> None:
        """Count the stream's pictures; a connection that is lost is opened again."""
        while not self.stop.is_set():
            try:
                with _opened(self.port, "/stream.mjpg", 2.0) as stream:
                    while not self.stop.is_set() and (data := stream.recv(1 << 18)):
                        self.pictures += data.count(b"image/jpeg")
            except OSError:
                self.stop.wait(ASK_S)


@dataclass(frozen=True, slots=True)
class Result:
    """What one attack did; times in seconds, `rate` in pictures a second, memory of its end."""

    name: str
    longest_wait_s: float
    rate: float
    highest_mb: float
    memory_mb: float


def main() -> None:
    """Attack, print the table and write the report."""
    duration_s = float(sys.argv[1]) if len(sys.argv) > 1 else 12.0
    demo = Demo(640, 480)
    jpegs = [cv2.imencode(".jpg", demo.render(n / 15))[1].tobytes() for n in range(60)]
    camera = HostileCamera(jpegs)
    with (
        tempfile.TemporaryDirectory() as name,
        broker(Path(name)) as broker_port,
        memory_group(LIMIT_BYTES) as group,
    ):
        folder = Path(name)
        model, config = folder / "model.tflite", folder / "config.yaml"
        copyfile(ROOT / "models/expression.tflite", model)
        config.write_text("camera: {name: attacked}\n")
        settings = _settings(model, camera, broker_port)
        with daemon(settings, folder, wrapper=group.wrapper, config=config) as running:
            target = Target(running.pid, running.port, broker_port, config, model, camera)
            results = list(attacked(target, group, duration_s))
            is_alive = _is_alive(target)
        log = (folder / "daemon.log").read_text(errors="replace")
    if "Traceback" in log:
        print("Traceback" + log.partition("Traceback")[2][:3000], file=sys.stderr)
    text = report(results, is_alive=is_alive, has_traceback="Traceback" in log)
    print(text)
    what = f"Made by `make bench-attacks`, {duration_s:g} s for each attack."
    note = f"The daemon in a control group of 512 MiB, attacked on loopback. {what}\n"
    note += "Before, one picture was classified and one password checked, to load what these need."
    (Path(__file__).parent / "attacks.md").write_text(f"{note}\n\n{text}\n", encoding="utf-8")


def _settings(model: Path, camera: HostileCamera, broker_port: int) -> dict[str, object]:
    return {
        "camera.source": camera.url,
        "camera.timeout_s": 2,
        "model": model,
        "models.folder": model.parent / "models",
        "snapshots.enabled": "true",
        "snapshots.path": model.parent / "snapshots",
        "web.token": hash_token(TOKEN),
        "web.password": hash_password("right-password-of-the-owner"),
        "mqtt.host": "127.0.0.1",
        "mqtt.port": broker_port,
        "mqtt.topic": "mien/attacked",
        "mqtt.commands": "true",
    }


def attacked(target: Target, group: MemoryGroup, duration_s: float) -> Iterator[Result]:
    """Watch the daemon in peace, through every attack, and in peace again, while it lives."""
    worst_pictures()  # before the attackers' processes are made
    _use_once(target)
    yield watched("nobody", _nobody, target, group, WARM_S)
    for name, attack in ATTACKS.items():
        if not _is_alive(target):
            return
        yield watched(name, attack, target, group, duration_s)
        time.sleep(REST_S)
    time.sleep(3 * REST_S)
    yield watched("nobody, afterwards", _nobody, target, group, WARM_S)


def watched(
    name: str, attack: Attack, target: Target, group: MemoryGroup, duration_s: float
) -> Result:
    """Watch the daemon during one attack."""
    stop = threading.Event()
    watch = Watch(target.port, stop)
    group.highest_mb()
    threads = [threading.Thread(target=each) for each in (watch.ask, watch.count)]
    for thread in threads:
        thread.start()
    attacker = multiprocessing.Process(target=_run, args=(attack, target, duration_s))
    began_s = time.monotonic()
    attacker.start()
    attacker.join()
    took_s = time.monotonic() - began_s
    stop.set()
    for thread in threads:
        thread.join()
    result = Result(
        name,
        max(watch.waits_s),
        watch.pictures / took_s,
        group.highest_mb(),
        memory_mb(target.pid) if _is_alive(target) else 0.0,
    )
    print(result, file=sys.stderr, flush=True)
    return result


def _run(attack: Attack, target: Target, duration_s: float) -> None:
    """The attacker's process."""
    stop = threading.Event()
    threading.Timer(duration_s, stop.set).start()
    attack(target, stop)


def _use_once(target: Target) -> None:
    """Have a picture classified and a password checked, so that what these load is there."""
    jpeg = cv2.imencode(".jpg", Demo(640, 480).render(0))[1].tobytes()
    body = b"password=wrong"
    for path, kind, content in (
        ("/api/classify", "image/jpeg", jpeg),
        ("/login", "application/x-www-form-urlencoded", body),
    ):
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += f"Connection: close\r\nContent-Type: {kind}\r\n"
        head += f"Content-Length: {len(content)}\r\n\r\n"
        ask(target, head.encode() + content, 20)


def _nobody(_: Target, stop: threading.Event) -> None:
    """No attack."""
    stop.wait()


def report(results: Sequence[Result], *, is_alive: bool, has_traceback: bool) -> str:
    """Return the results as Markdown."""
    rows = [
        f"| {r.name} | {1000 * r.longest_wait_s:.0f} ms | {_rate(r)} | {r.highest_mb:.0f} MB |"
        for r in results
    ]
    grown = results[-1].memory_mb - results[0].memory_mb
    return "\n".join(
        [
            "| attack | longest wait for /state | pictures a second | most memory in use |",
            "|---|---|---|---|",
            *rows,
            "",
            f"Deaths: {0 if is_alive else 1}. Tracebacks in the log: {int(has_traceback)}. "
            f"The process's memory before and after: {results[0].memory_mb:.0f} and "
            f"{results[-1].memory_mb:.0f} MB ({grown:+.0f}).",
        ]
    )


def _rate(result: Result) -> str:
    return "" if result.name.startswith(RATE_FROM) else f"{result.rate:.1f}"


def _is_alive(target: Target) -> bool:
    status = Path(f"/proc/{target.pid}/stat")
    return status.exists() and ") Z" not in status.read_text()


def _opened(port: int, path: str, wait_s: float) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), wait_s)
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    connection.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
    return connection


def _asked(port: int, path: str) -> bool:
    """Return whether the daemon answers with 200 within ten seconds."""
    try:
        with _opened(port, path, 10.0) as connection:
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


if __name__ == "__main__":
    main()
