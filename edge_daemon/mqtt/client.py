"""One connection to an MQTT broker: the adapter of paho-mqtt.

MQTT 5 is used because its brokers give the reason when they refuse something, even one message.
https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import stat
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_daemon.core.errors import reason_of
from edge_daemon.core.files import check_regular, no_passphrase
from edge_daemon.mqtt.limits import BrokerLimits
from edge_daemon.mqtt.link import End, MqttError, RefusedMessage, WakeUp
from edge_daemon.mqtt.messages import Message

try:
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
except ImportError as error:
    raise MqttError(
        "mqtt.host is set, but paho-mqtt is not installed: pip install 'paho-mqtt>=2,<3', "
        "or leave mqtt.host empty."
    ) from error

CONNECT_S: Final = 5.0  # for the TCP connection, and again for the broker's answer
KEEPALIVE_S: Final = 30
IN_FLIGHT: Final = 20  # messages not yet acknowledged, if the broker allows as many
TICK_S: Final = 0.5
PACKET_BYTES: Final = 4096  # the largest packet that the broker may send; commands are short
INBOX: Final = 100  # messages kept between two calls of `received`; the newest win
AT_ONCE: Final = 20  # messages read in one wait; a flood is left to the broker's own limits
NOT_AUTHORIZED: Final = 0x87
TAKEN_OVER: Final = 0x8E
UNSUPPORTED_VERSION: Final = 0x84

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Broker:
    """The address of the broker, and the identity to use there."""

    host: str
    port: int
    client_id: str
    user: str = ""
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None


class MqttClient:
    """One connection from its opening to its end; a new client is needed to connect again.

    Only one thread may use it. The broker publishes `will` if the connection breaks. At most
    `window` messages of QoS 1 may be unacknowledged. If the broker refuses a message to the topic
    `vital`, the connection ends; messages to other topics may be refused.
    """

    def __init__(
        self, broker: Broker, *, will: Message, vital: str, limits: BrokerLimits | None = None
    ) -> None:
        self.reason = ""  # why the connection has ended
        self.window = IN_FLIGHT
        self.end: End = "broken"
        self._broker, self._vital, self._limits = broker, vital, limits or BrokerLimits()
        will = self._limits.within(will)
        self._is_accepted = False
        self._largest = 0  # packet in bytes that the broker accepts; 0 is any
        self._acknowledged: list[int] = []
        self._refused: list[RefusedMessage] = []
        self._inbox: deque[Message] = deque(maxlen=INBOX)
        self._received = 0  # messages in all
        self._topics: dict[int, str] = {}  # of messages and subscriptions not yet acknowledged
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
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_open = _limit_buffer

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return not self.reason

    @property
    def is_congested(self) -> bool:
        """Whether packets wait because the broker does not read."""
        return self._client.want_write()

    def open(self, wake_up: WakeUp) -> None:
        """Connect, in a few seconds at most. Raises OSError with the reason if that fails."""
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = PACKET_BYTES
        try:
            self._client.connect(
                self._broker.host,
                self._broker.port,
                keepalive=KEEPALIVE_S,
                properties=properties,
            )
        except (OSError, ValueError) as error:  # ValueError: not a host name, such as "a..b"
            raise OSError(_reason_of(error)) from error
        until_s = time.monotonic() + CONNECT_S
        while self.is_open and not self._is_accepted:
            self.wait(wake_up, TICK_S)
            if time.monotonic() > until_s:
                self._end("the broker does not answer")
        if self.reason:
            self.close()
            raise OSError(self.reason)

    def wait(self, wake_up: WakeUp, timeout_s: float) -> None:
        """Serve the connection until something arrives, `wake_up` is set or `timeout_s` passes."""
        connection = self._client.socket()
        if connection is None:
            self._end("the connection broke")
            return
        # poll does not notice bytes that TLS has decrypted but nobody has read yet.
        rest = connection.pending() if isinstance(connection, ssl.SSLSocket) else 0
        poll = select.poll()
        poll.register(wake_up, select.POLLIN)
        events = select.POLLIN | (select.POLLOUT if self._client.want_write() else 0)
        poll.register(connection, events)
        ready = poll.poll(0 if rest else timeout_s * 1000)
        wake_up.clear()
        try:
            if rest or any(number != wake_up.fileno() for number, _ in ready):
                self._read()
            self._refuse_large_packet()
            if self._client.want_write():
                self._client.loop_write()
            self._client.loop_misc()
        except Exception as error:  # paho raises different ones for a broker's invalid bytes
            log.warning("mqtt: the broker sent an invalid packet", exc_info=error)
            self._end("the broker sent an invalid packet")

    def publish(self, message: Message) -> int:
        """Send a message; return its number, which `acknowledged` returns later if its QoS is 1.

        A message that is larger than the broker accepts is not sent; its number is 0.
        """
        if 0 < self._largest < message.packet_bytes:
            reason = f"it has {message.packet_bytes} bytes, the broker accepts {self._largest}"
            self._refused.append(RefusedMessage(message.topic, reason, is_lasting=False))
            return 0
        message = self._limits.within(message)
        number = self._client.publish(
            message.topic, message.payload, message.qos, message.retain
        ).mid
        if message.qos:
            self._topics[number] = message.topic
        return number

    def subscribe(self, topic: str) -> None:
        """Receive the messages to `topic`."""
        _, number = self._client.subscribe(topic, qos=1)
        if number is not None:
            self._topics[number] = topic

    def acknowledged(self) -> list[int]:
        """Return the numbers of the messages acknowledged since the last call."""
        numbers, self._acknowledged = self._acknowledged, []
        return numbers

    def refused(self) -> list[RefusedMessage]:
        """Return the messages refused by the broker since the last call."""
        refused, self._refused = self._refused, []
        return refused

    def received(self) -> list[Message]:
        """Return the messages received since the last call, at most the newest INBOX."""
        messages = list(self._inbox)
        self._inbox.clear()
        return messages

    def give_up(self, reason: str) -> None:
        """Regard the connection as ended; `close` it afterwards."""
        self._end(reason)

    def close(self) -> None:
        """Disconnect properly, so that the broker does not publish the will."""
        self._client.disconnect()
        self._end("closed")

    def _read(self) -> None:
        """Read what has arrived, up to AT_ONCE messages for us."""
        for _ in range(AT_ONCE):
            before = self._received
            self._client.loop_read()
            if self._received == before or not self.is_open:
                return

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason

    def _refuse_large_packet(self) -> None:
        """End the connection if the broker sends a packet larger than PACKET_BYTES.

        paho itself has no limit and would keep up to 256 MB in memory.
        """
        incoming = getattr(self._client, "_in_packet", {})
        if incoming.get("remaining_length", 0) > PACKET_BYTES:
            self._end("the broker sent a packet larger than allowed")
            connection = self._client.socket()
            if connection is not None:
                connection.close()

    # paho calls the following methods, within `wait` and `close`.

    def _on_connect(self, client: Any, _: Any, flags: Any, code: Any, properties: Any) -> None:
        self._limits.learn(code.value, properties)
        if code.is_failure:
            is_old = code.value == UNSUPPORTED_VERSION
            self._end(f"the broker refuses: {code}{'; Mien needs MQTT 5' * is_old}")
            return
        self.window = min(getattr(properties, "ReceiveMaximum", IN_FLIGHT), IN_FLIGHT)
        self._largest = getattr(properties, "MaximumPacketSize", 0)
        self._is_accepted = True

    def _on_disconnect(self, client: Any, _: Any, flags: Any, code: Any, properties: Any) -> None:
        if not flags.is_disconnect_packet_from_server:
            self._end("the connection broke")
        elif code.value == TAKEN_OVER:
            self.end = "taken over"
            self._end(
                f"another client took over the session of {self._broker.client_id}; "
                "give each daemon another mqtt.topic"
            )
        else:
            if code.value == NOT_AUTHORIZED:  # some brokers disconnect instead of refusing
                suspects = [topic for topic in self._topics.values() if topic != self._vital][:1]
                self._refused += [RefusedMessage(topic, str(code)) for topic in suspects]
            self.end = "refused"
            self._end(f"the broker disconnected: {code}")

    def _on_publish(self, client: Any, _: Any, mid: int, code: Any, properties: Any) -> None:
        topic = self._topics.pop(mid, "")
        if not code.is_failure:
            self._acknowledged.append(mid)
        elif topic == self._vital:
            self._end(f"the broker refuses {topic}: {code}")
        elif topic:
            self._refused.append(RefusedMessage(topic, str(code)))

    def _on_subscribe(self, client: Any, _: Any, mid: int, codes: Any, properties: Any) -> None:
        topic = self._topics.pop(mid, "")
        self._refused += [RefusedMessage(topic, str(code)) for code in codes if code.is_failure]

    def _on_message(self, client: Any, _: Any, message: Any) -> None:
        self._received += 1
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
) -> Callable[[Message, str], MqttClient]:
    """Return a function that makes a client from a will and a vital topic. Raises MqttError."""
    user, password = read_credentials(Path(credentials)) if credentials else ("", None)
    context = tls_context(ca=ca, certificate=certificate, key=key) if tls else None
    broker = Broker(host, port, client_id, user, password, context)
    limits = BrokerLimits()
    return lambda will, vital: MqttClient(broker, will=will, vital=vital, limits=limits)


def read_credentials(path: Path) -> tuple[str, str | None]:
    """Read the user name and, if there is a second line, the password. Raises MqttError."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise MqttError(f"{path}: mqtt.credentials should be a regular file.")
        if mode & 0o007:
            raise MqttError(f"{path}: others may read this password; fix: chmod o= {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise MqttError(f"{path}: mqtt.credentials cannot be read: {_reason_of(error)}.") from error
    if not 1 <= len(lines) <= 2 or not lines[0]:
        raise MqttError(
            f"{path}: expected the user name in the first line and the password in the second; "
            "for a user without a password, omit the second line."
        )
    return lines[0], lines[1] if len(lines) == 2 else None


def tls_context(*, ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """Return a TLS context with the trusted authorities and the client's certificate.

    All arguments are PEM files. An empty `ca` stands for the system's authorities, an empty
    `certificate` for none. Raises MqttError.
    """
    try:
        check_regular(*filter(None, (ca, certificate, key)))
        context = ssl.create_default_context(cafile=ca or None)
        if certificate:
            context.load_cert_chain(certificate, key, no_passphrase)
    except (OSError, ValueError) as error:  # SSLError too, for files with other content
        names = ", ".join(filter(None, (ca, certificate, key)))
        raise MqttError(
            f"mqtt: {names} cannot be used as PEM files for TLS: {_reason_of(error)}."
        ) from error
    return context


def _limit_buffer(client: Any, _: Any, connection: Any) -> None:
    """Limit the receive buffer, so that a packet's length is checked before the rest arrives."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * PACKET_BYTES)


def _reason_of(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate: {reason_of(error)}"
    return reason_of(error)
