"""A real mosquitto on a free port, a connection to it that can be cut, and a listener."""

from __future__ import annotations

import json
import selectors
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from support.ports import free_port
from support.waiting import until

DEADLINE_S = 40.0
OPEN = ("allow_anonymous true",)


class Mosquitto:
    """A broker that can be killed and restarted on its port; `lines` configure it."""

    def __init__(self, folder: Path, lines: Sequence[str] = OPEN) -> None:
        self._program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        if self._program is None:
            pytest.skip("NOT TESTED: mosquitto is not installed (apt install mosquitto)")
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        listener = [f"listener {self.port} 127.0.0.1", "user root"]
        self._config.write_text("\n".join([*listener, *lines, ""]))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self._program
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)], stderr=subprocess.DEVNULL
        )
        until(self._is_listening)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _is_listening(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "mosquitto does not run"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False


@contextmanager
def mosquitto(folder: Path, lines: Sequence[str] = OPEN) -> Iterator[Mosquitto]:
    """Run a broker until the end of the block."""
    broker = Mosquitto(folder, lines)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Return a self-signed certificate for 127.0.0.1, and its key."""
    pem, key = folder / "broker.pem", folder / "broker.key"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", "2", "-subj", "/CN=broker", "-keyout", str(key), "-out", str(pem)]
    words += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(words, check=True, capture_output=True)
    return pem, key


def passwords(folder: Path, **users: str) -> Path:
    """Return a mosquitto password file of users and their passwords."""
    path = folder / "passwords"
    path.touch(0o600)
    for user, password in users.items():
        words = ["mosquitto_passwd", "-b", str(path), user, password]
        subprocess.run(words, check=True, capture_output=True)
    return path


@dataclass(frozen=True, slots=True)
class Heard:
    topic: str
    payload: bytes
    retain: bool

    @property
    def values(self) -> dict[str, Any]:
        return dict(json.loads(self.payload))


class Listener:
    """Receives all messages of a broker in order, and sends messages; a context manager.

    It reconnects by itself.
    """

    def __init__(self, port: int, user: str = "", password: str = "", topic: str = "#") -> None:
        self.heard: list[Heard] = []
        self._topic = topic
        self._subscribed = threading.Event()
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.reconnect_delay_set(min_delay=1, max_delay=1)
        if user:
            client.username_pw_set(user, password)
        client.on_connect = self._subscribe
        client.on_disconnect = lambda *_: self._subscribed.clear()
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._hear
        client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        self.ready()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self, client: paho.Client, *_: object) -> None:
        client.subscribe(self._topic, qos=1)

    def _hear(self, _: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        self.heard.append(Heard(message.topic, bytes(message.payload), message.retain))

    def ready(self) -> None:
        """Wait until it is subscribed."""
        assert self._subscribed.wait(DEADLINE_S)

    def say(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(DEADLINE_S)

    def send(self, topic: str, payload: str, qos: int = 1) -> None:
        """Publish a message without waiting for the broker."""
        self._client.publish(topic, payload, qos)

    def of(self, name: str) -> list[Heard]:
        """Return the messages on topics that end with `name`."""
        return [each for each in list(self.heard) if each.topic.endswith(name)]

    def last(self, name: str) -> dict[str, Any]:
        """Return the newest JSON message on a topic that ends with `name`; empty without one."""
        found = self.of(name)
        return found[-1].values if found else {}

    def events(self) -> list[dict[str, Any]]:
        return [each.values for each in self.of("/event")]


class Way:
    """A TCP proxy from `self.port` to `port` that can be cut.

    After `cut`, connections are refused. While it is `one_way`, the broker receives everything, but
    its answers are dropped.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.one_way = False
        self._is_open = True
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def cut(self) -> None:
        """Break the connections and refuse new ones."""
        self._is_open = False
        until(lambda: not self._pairs)

    def open(self) -> None:
        self._is_open, self.one_way = True, False

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._server.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(self._server, selectors.EVENT_READ)
                for one, other in self._pairs:
                    selector.register(one, selectors.EVENT_READ, (one, other))
                    selector.register(other, selectors.EVENT_READ, (other, one))
                ready = selector.select(0.02)
            for key, _ in ready:
                if key.fileobj is self._server:
                    self._accept()
                else:
                    self._pass_on(*key.data)
            if not self._is_open:
                self._break_all()
        self._break_all()

    def _accept(self) -> None:
        client, _ = self._server.accept()
        try:
            self._pairs.append((client, socket.create_connection(("127.0.0.1", self._target))))
        except OSError:
            client.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        is_from_broker = any(source is broker for _, broker in self._pairs)
        try:
            data = source.recv(65536)
            if data and not (self.one_way and is_from_broker):
                sink.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._break({source, sink})

    def _break_all(self) -> None:
        for pair in list(self._pairs):
            self._break(set(pair))

    def _break(self, ends: set[socket.socket]) -> None:
        self._pairs = [pair for pair in self._pairs if not ends & set(pair)]
        for end in ends:
            end.close()


@contextmanager
def way_to(port: int) -> Iterator[Way]:
    way = Way(port)
    try:
        yield way
    finally:
        way.close()
