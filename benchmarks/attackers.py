"""The attackers of `benchmarks.attacks`: each runs until it is told to stop, or in one go.

All traffic stays on this machine.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from PIL import Image

from benchmarks.hostile_camera import HostileCamera
from benchmarks.running import free_port, wait_for

UPLOADERS, GUESSERS, SEARCHERS, STRANGERS, SLOW_READERS = 12, 10, 10, 1500, 30
HOST = b"Host: 127.0.0.1\r\n"
TOKEN = "right-token-of-the-owner"  # noqa: S105 - of the attacked daemon
SIGNED = f"Authorization: Bearer {TOKEN}\r\n".encode()


class Target(NamedTuple):
    """The attacked daemon, and what the attackers may write to."""

    pid: int
    port: int
    broker_port: int
    config: Path
    model: Path
    camera: HostileCamera


Attack = Callable[[Target, threading.Event], object]


def ask(target: Target, request: bytes, wait_s: float = 2.0) -> bytes:
    """Send bytes, and return what comes back until the end or a while later."""
    received = b""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", target.port), wait_s) as connection,
    ):
        connection.sendall(request)
        while data := connection.recv(65536):
            received += data
    return received


def _many(count: int, work: Callable[[], object], stop: threading.Event) -> None:
    """Repeat `work` in `count` threads."""

    def repeat() -> None:
        while not stop.is_set():
            work()

    threads = [threading.Thread(target=repeat) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- pictures ---------------------------------------------------------------------------------


@cache
def worst_pictures() -> list[bytes]:
    """Return the most expensive pictures that are accepted, and bombs of every format."""
    small = np.random.default_rng(0).integers(0, 256, (63, 63, 3), dtype=np.uint8)
    large = Image.fromarray(np.repeat(np.repeat(small, 100, 0), 100, 1))  # 39.7 megapixels

    def saved(kind: str, **options: object) -> bytes:
        content = io.BytesIO()
        large.save(content, kind, **options)
        return content.getvalue()

    jpeg = saved("JPEG", progressive=True)
    frame = b"\xff\xc2\x00\x11\x08" + struct.pack(">HHB", 16000, 65500, 3)
    frame += b"\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    return [
        *(jpeg, saved("PNG"), saved("WEBP", quality=10, method=0), saved("JPEG")),
        b"\xff\xd8\xff\x01" + frame + jpeg[2:],  # a size behind a marker without length
        b"\xff\xd8" + frame + b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00" * 500,
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", 65500, 65500, 8, 2, 0, 0, 0)),
        _png_with(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(200_000_000), 9)),
        b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\xff\xff\xff\xff\xff\xff" + bytes(100),
        jpeg[: len(jpeg) // 2],
        os.urandom(9_900_000),
    ]


def _chunk(name: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + crc


def _png_with(name: bytes, content: bytes) -> bytes:
    plain = cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    return plain[:33] + _chunk(name, content) + plain[33:]


def uploads(target: Target, stop: threading.Event) -> None:
    """Expensive pictures and bombs, all at once."""
    pictures = worst_pictures()
    head = b"POST /api/classify HTTP/1.1\r\n" + HOST + SIGNED + b"Connection: close\r\n"

    def upload() -> None:
        picture = random.choice(pictures)  # noqa: S311 - not for secrets
        length = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        ask(target, head + length.encode() + picture, 20)

    _many(UPLOADERS, upload, stop)


# --- HTTP -------------------------------------------------------------------------------------

MALFORMED = (
    b"GET / HTTP/1.1\r\n" + HOST + b"X\r\nContent-Length: 30\r\n\r\nGET /state HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n",
    b"POST /api/classify HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 20_000 + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Range: bytes=" + b"0-1," * 5000 + b"\r\n\r\n",
    b"GET /events?label=" + b"a," * 4000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    bytes(range(256)) * 100,
)


def malformed(target: Target, stop: threading.Event) -> None:
    """Requests that smuggle others, lie about their length or are none."""
    _many(6, lambda: ask(target, random.choice(MALFORMED), 1), stop)  # noqa: S311


def strangers(target: Target, stop: threading.Event) -> None:
    """More connections than the daemon has files, each with a header that grows byte by byte."""
    with ExitStack() as clients:
        connections: list[socket.socket] = []
        for _ in range(STRANGERS):
            connection = clients.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", target.port))
            connections.append(connection)
        while not stop.wait(0.2):
            for connection in connections:
                with suppress(OSError):
                    connection.send(b"G")


def slow_readers(target: Target, stop: threading.Event) -> None:
    """Viewers and readers of events that never read, and others that come and go."""
    asked = b"GET /%s HTTP/1.1\r\n" + HOST + SIGNED + b"Accept: text/event-stream\r\n\r\n"
    with ExitStack() as clients:
        for path in (b"stream.mjpg", b"events?live=1"):
            for _ in range(SLOW_READERS // 2):
                connection = clients.enter_context(socket.socket())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                with suppress(OSError):
                    connection.connect(("127.0.0.1", target.port))
                    connection.sendall(asked % path)
        _many(4, lambda: ask(target, asked % b"snapshot.jpg", 1), stop)


def guesses(target: Target, stop: threading.Event) -> None:
    """Wrong passwords and tokens, to guess them and to lock the owner out."""
    body = b"password=wrong"
    form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
    sign_in = (
        b"POST /login HTTP/1.1\r\n" + HOST + b"Connection: close\r\n" + form % len(body) + body
    )
    token = b"GET /state?token=wrong HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    _many(GUESSERS, lambda: ask(target, random.choice((sign_in, token)), 5), stop)  # noqa: S311


def searches(target: Target, stop: threading.Event) -> None:
    """Searches of the whole log for what is not there, and readers that missed all of it."""
    paths = (
        b"/events?label=none&limit=10000",
        b"/events.csv?limit=10000&order=desc",
        b"/events?last_event_id=2026-01-01T00:00:00.000Z/0",
        b"/history?by=minute&from=2026-01-01&to=2026-12-31",
    )
    head = b" HTTP/1.1\r\n" + HOST + SIGNED + b"Connection: close\r\n\r\n"
    _many(SEARCHERS, lambda: ask(target, b"GET " + random.choice(paths) + head, 3), stop)  # noqa: S311


# --- broker -----------------------------------------------------------------------------------


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """A mosquitto that passes on whatever its clients say; its port."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
    if program is None:
        raise SystemExit("mosquitto is not installed: apt install mosquitto")
    port, config = free_port(), folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nuser root\nallow_anonymous true\n")
    child = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        wait_for(port)
        yield port
    finally:
        child.kill()
        child.wait()


def _publisher(target: Target) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", target.broker_port)
    client.loop_start()
    return client


def huge_messages(target: Target, stop: threading.Event) -> None:
    """Messages of 250 MB to topics that the daemon subscribes to."""
    client, content = _publisher(target), bytes(250_000_000)
    while not stop.is_set():
        for topic in ("homeassistant/status", "mien/attacked/pause/set"):
            with suppress(ValueError, RuntimeError):
                client.publish(topic, content, qos=1).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


def command_flood(target: Target, stop: threading.Event) -> None:
    """Thousands of commands and births of Home Assistant a second."""
    client, number = _publisher(target), 0
    while not stop.is_set():
        for _ in range(200):
            number += 1
            client.publish("mien/attacked/interval/set", str(number % 4 + 1))
            client.publish("mien/attacked/blur/set", ("ON", "OFF")[number % 2])
            client.publish("homeassistant/status", "online")
            client.publish("mien/attacked/interval/set", "nonsense")
        time.sleep(0.02)
    for topic, value in (("interval", "auto"), ("blur", "OFF"), ("pause", "OFF")):
        client.publish(f"mien/attacked/{topic}/set", value, qos=1).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


# --- files ------------------------------------------------------------------------------------


def model_files(target: Target, stop: threading.Event) -> None:
    """Model files that are damaged anywhere, cut off, endless or no files, with reloads."""
    good = target.model.read_bytes()
    chance = random.Random(1)  # noqa: S311 - not for secrets
    while not stop.is_set():
        damaged = bytearray(good)
        for _ in range(chance.choice((1, 20, 2000))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        kinds = (bytes(damaged), good[: chance.randrange(len(good))], os.urandom(10**6), good * 60)
        _replace(target.model, chance.choice(kinds))
        os.kill(target.pid, signal.SIGHUP)
        stop.wait(1.0)
    _replace(target.model, good)
    os.kill(target.pid, signal.SIGHUP)


def configurations(target: Target, stop: threading.Event) -> None:
    """Configurations that nest, grow or lie, with reloads."""
    good = target.config.read_bytes()
    layers = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    bad = (
        "\n".join(["a0: &a0 [x, x]", *layers]).encode(),
        b"camera: " + b"[" * 100_000,
        b"camera: {fps: 1e999, width: .nan}\n",
        b"web: {port: " + b"9" * 100_000 + b"}\n",
        b"camera: &c {source: *c}\n",
        b"? " * 50_000,
        os.urandom(100_000),
        b"\xef\xbb\xbf" + b"a: b\n" * 200_000,
        b"events: {path: /dev/zero}\n",
        b"!!python/object/apply:os.system ['true']\n",
    )
    number = 0
    while not stop.is_set():
        _replace(target.config, bad[number % len(bad)])
        os.kill(target.pid, signal.SIGHUP)
        number += 1
        stop.wait(0.5)
    _replace(target.config, good)
    os.kill(target.pid, signal.SIGHUP)


def _replace(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


# --- camera -----------------------------------------------------------------------------------


def hostile_camera(target: Target, stop: threading.Event) -> None:
    """Let the camera attack the daemon in twelve ways."""
    target.camera.turned.set()
    stop.wait()
    target.camera.turned.clear()


ATTACKS: dict[str, Attack] = {
    "pictures: expensive uploads and bombs, 12 at once": uploads,
    "HTTP: smuggling, lengths that lie, endless headers": malformed,
    "HTTP: 1,500 connections with a header byte by byte": strangers,
    "HTTP: viewers and readers that never read": slow_readers,
    "HTTP: wrong passwords and tokens": guesses,
    "HTTP: searches of the whole log": searches,
    "broker: messages of 250 MB": huge_messages,
    "broker: thousands of commands a second": command_flood,
    "model files: damaged, cut off, endless": model_files,
    "configurations: nested, endless, wrong": configurations,
    "camera: headers, pictures and streams without end": hostile_camera,
}
