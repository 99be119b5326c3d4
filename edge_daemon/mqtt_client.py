"""A connection to an MQTT broker: messages in, acknowledgements and messages out.

The adapter of paho-mqtt. MQTT 5, as its brokers say why they refuse something, even a single message.
https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from edge_daemon.backlog import Backlog
from edge_daemon.mqtt import MqttError
from edge_daemon.mqtt_messages import Message

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
INBOX: Final = 100  # messages for us that wait; the oldest give way


class BrokerAway(OSError):
    """There is no connection; the message says why."""


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

    `will` is what the broker publishes if we vanish. `on_news` is called in another thread after
    anything that this tells of has changed; it must not block.
    """

    def __init__(self, broker: Broker, *, will: Message, on_news: Callable[[], None]) -> None:
        self.reason = ""  # why there is no connection any more
        self._broker, self._on_news = broker, on_news
        self._welcome = threading.Event()
        self._acknowledged: SimpleQueue[int] = SimpleQueue()
        self._inbox: Backlog[Message] = Backlog(INBOX)
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        client.will_set(will.topic, will.payload, will.qos, will.retain)
        if broker.user:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls is not None:
            client.tls_set_context(broker.tls)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_message = self._received

    def open(self) -> None:
        """Connect, in some seconds at most. Raises BrokerAway."""
        try:
            self._client.connect(self._broker.host, self._broker.port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError) as error:  # ValueError: a name that is none, such as "a..b"
            raise BrokerAway(_words(error)) from error
        self._client.loop_start()
        if not self._welcome.wait(CONNECT_S):
            self._end("the broker does not answer")
        if self.reason:
            self.close()
            raise BrokerAway(self.reason)

    @property
    def is_open(self) -> bool:
        return not self.reason

    def publish(self, message: Message) -> int:
        """Send a message; the number by which it is acknowledged if its `qos` is 1."""
        return self._client.publish(message.topic, message.payload, message.qos, message.retain).mid

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)

    def acknowledged(self) -> list[int]:
        """The numbers of the messages that the broker has taken over since the last call."""
        numbers = []
        with suppress(Empty):
            while True:
                numbers.append(self._acknowledged.get_nowait())
        return numbers

    def received(self) -> Message | None:
        """The next message for us, if there is one."""
        return self._inbox.get(timeout_s=0)

    def close(self) -> None:
        """Say good-bye, so that the broker does not publish the will."""
        self._client.disconnect()
        self._client.loop_stop()
        self._end("closed")

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._welcome.set()
        self._on_news()

    # What follows is called in paho's thread.

    def _connected(self, client: Any, _: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._end(f"the broker refuses: {code}")
            return
        limit = getattr(properties, "ReceiveMaximum", IN_FLIGHT)
        client.max_inflight_messages_set(min(limit, IN_FLIGHT))
        self._welcome.set()

    def _disconnected(self, client: Any, _: Any, flags: Any, code: Any, properties: Any) -> None:
        told = flags.is_disconnect_packet_from_server
        self._end(f"the broker says: {code}" if told else "the connection broke off")

    def _published(self, client: Any, _: Any, mid: int, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._end(f"the broker refuses a message: {code}")
            return
        self._acknowledged.put(mid)
        self._on_news()

    def _received(self, client: Any, _: Any, message: Any) -> None:
        with suppress(UnicodeDecodeError):  # of the topic
            self._inbox.put(Message(message.topic, message.payload, message.qos, message.retain))
            self._on_news()


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
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
