"""A connection to an MQTT broker: messages in, acknowledgements and messages out.

The adapter of paho-mqtt. With MQTT 5 brokers say why they refuse something, even a single message.
https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html
"""

from __future__ import annotations

import logging
import select
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_daemon.core.errors import reason_of
from edge_daemon.mqtt.bell import Bell
from edge_daemon.mqtt.link import MqttError
from edge_daemon.mqtt.messages import Message

try:
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion
except ImportError as error:
    raise MqttError(
        "mqtt.host is set, but paho-mqtt is not installed: pip install 'paho-mqtt>=2,<3', "
        "or leave mqtt.host empty."
    ) from error

CONNECT_S: Final = 5.0  # for the TCP connection, and again for the broker's word
KEEPALIVE_S: Final = 30
IN_FLIGHT: Final = 20  # messages not yet acknowledged, if the broker takes as many
TICK_S: Final = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and who we are to it."""

    host: str
    port: int
    client_id: str
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None


class MqttClient:
    """One connection, from its opening to its end; a new client is made for the next.

    For use in one thread. `will` is what the broker publishes if we vanish; at most `window`
    messages of `qos` 1 may be on their way.
    """

    def __init__(self, broker: Broker, *, will: Message) -> None:
        self.reason = ""  # why there is no connection any more
        self.window = IN_FLIGHT
        self._broker = broker
        self._is_welcome = False
        self._acknowledged: list[int] = []
        self._inbox: list[Message] = []
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(IN_FLIGHT)
        client.will_set(will.topic, will.payload, will.qos, will.retain)
        if broker.user:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls is not None:
            client.tls_set_context(broker.tls)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_message = self._received

    @property
    def is_open(self) -> bool:
        return not self.reason

    def open(self, bell: Bell) -> None:
        """Connect, in some seconds at most. Raises OSError, which says why it cannot be."""
        try:
            self._client.connect(self._broker.host, self._broker.port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError) as error:  # ValueError: a name that is none, such as "a..b"
            raise OSError(_words(error)) from error
        until_s = time.monotonic() + CONNECT_S
        while self.is_open and not self._is_welcome:
            self.wait(bell, TICK_S)
            if time.monotonic() > until_s:
                self._end("the broker does not answer")
        if self.reason:
            self.close()
            raise OSError(self.reason)

    def wait(self, bell: Bell, timeout_s: float) -> None:
        """Attend to the connection until something comes, the `bell` rings or the time is over."""
        connection = self._client.socket()
        if connection is None:
            self._end("the connection broke off")
            return
        # TLS may have decrypted more than was asked for, which poll does not know.
        rest = connection.pending() if isinstance(connection, ssl.SSLSocket) else 0
        poll = select.poll()
        poll.register(bell, select.POLLIN)
        wanted = select.POLLIN | (select.POLLOUT if self._client.want_write() else 0)
        poll.register(connection, wanted)
        ready = poll.poll(0 if rest else timeout_s * 1000)
        bell.hush()
        try:
            if rest or any(number != bell.fileno() for number, _ in ready):
                self._client.loop_read()
            if self._client.want_write():
                self._client.loop_write()
            self._client.loop_misc()
        except Exception as error:
            log.warning("mqtt: the broker cannot be understood", exc_info=error)
            self._end("the broker cannot be understood")

    def publish(self, message: Message) -> int:
        """Send a message; the number by which it is acknowledged if its `qos` is 1."""
        return self._client.publish(message.topic, message.payload, message.qos, message.retain).mid

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)

    def acknowledged(self) -> list[int]:
        """The numbers of the messages that the broker has taken over since the last call."""
        numbers, self._acknowledged = self._acknowledged, []
        return numbers

    def received(self) -> list[Message]:
        """The messages for us since the last call."""
        messages, self._inbox = self._inbox, []
        return messages

    def close(self) -> None:
        """Say good-bye, so that the broker does not publish the will."""
        self._client.disconnect()
        self._end("closed")

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason

    # What follows is called by paho, within `wait` and `close`.

    def _connected(self, client: Any, _: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._end(f"the broker refuses: {code}")
            return
        self.window = min(getattr(properties, "ReceiveMaximum", IN_FLIGHT), IN_FLIGHT)
        self._is_welcome = True

    def _disconnected(self, client: Any, _: Any, flags: Any, code: Any, properties: Any) -> None:
        told = flags.is_disconnect_packet_from_server
        self._end(f"the broker says: {code}" if told else "the connection broke off")

    def _published(self, client: Any, _: Any, mid: int, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._end(f"the broker refuses a message: {code}")
        else:
            self._acknowledged.append(mid)

    def _received(self, client: Any, _: Any, message: Any) -> None:
        with suppress(UnicodeDecodeError):  # of the topic
            self._inbox.append(Message(message.topic, message.payload, message.qos, message.retain))


def connector(
    *,
    host: str,
    port: int,
    client_id: str,
    credentials: str,
    tls: bool,
    ca: str,
    certificate: str,
    key: str,
) -> Callable[[Message], MqttClient]:
    """What makes clients, each with a will, by the settings and the files they name.

    Raises MqttError.
    """
    user, password = read_credentials(Path(credentials)) if credentials else ("", "")
    context = tls_context(ca=ca, certificate=certificate, key=key) if tls else None
    broker = Broker(host, port, client_id, user, password, context)
    return lambda will: MqttClient(broker, will=will)


def read_credentials(path: Path) -> tuple[str, str]:
    """User name and password from the two lines of a file. Raises MqttError."""
    try:
        if path.stat().st_mode & 0o007:
            raise MqttError(f"{path}: others may read this password; `chmod o= {path}` mends it.")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MqttError(f"{path}: mqtt.credentials cannot be read: {_words(error)}.") from error
    if len(lines) != 2 or not all(lines):
        raise MqttError(f"{path}: expected two lines, the user name and the password.")
    return lines[0], lines[1]


def tls_context(*, ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """What to trust and to show, from PEM files; "" is the system's list, or nothing.

    Raises MqttError.
    """
    try:
        context = ssl.create_default_context(cafile=ca or None)
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as error:  # among them SSLError, of files that hold something else
        names = ", ".join(filter(None, (ca, certificate, key)))
        raise MqttError(
            f"mqtt: {names}: not PEM files that can be read and fit together: {_words(error)}."
        ) from error
    return context


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate: {error.verify_message}"
    return reason_of(error)
