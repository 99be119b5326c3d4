"""The MQTT thread: keeps a connection to the broker and publishes events and state."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from edge_daemon.core.backoff import BackOff
from edge_daemon.core.errors import UserError
from edge_daemon.core.slots import Backlog
from edge_daemon.core.types import Command
from edge_daemon.mqtt import home_assistant
from edge_daemon.mqtt import messages as mqtt_messages
from edge_daemon.mqtt.commands import IncomingCommands
from edge_daemon.mqtt.delivery import EventDelivery
from edge_daemon.mqtt.messages import COMMANDS, OFFLINE, ONLINE, Message, Topics
from edge_daemon.mqtt.states import StatePublisher

TICK_S: Final = 1.0
RESERVED: Final = 2  # places in the window for messages other than events
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
SHORT_S: Final = 60.0  # a connection that breaks sooner is a short one
SUSPICIOUS: Final = 3  # after so many short connections in a row there is a warning
STABLE_S: Final = 10.0  # a connection that lasts this long resets the waits between attempts
ACKNOWLEDGE_S: Final = 60.0  # the longest wait for the broker's next acknowledgement
CLOSE_S: Final = 0.6  # for the last events, of the second that a stopping thread has
BIRTH_S: Final = 2.0  # many devices hear Home Assistant's birth; each answers within this time
BURST: Final = 2000  # messages that are read as fast as they come
MESSAGES_PER_S: Final = 500  # after that many; a flood must not cost frames
REST_S: Final = 0.025  # between two reads during a flood

log = logging.getLogger(__name__)


class MqttError(UserError):
    """MQTT cannot work until the user fixes something, which the message names."""


class WakeUp:
    """Ends another thread's wait for a file descriptor (a self-pipe); `set` never blocks."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor, which is readable between `set` and `clear`."""
        return self._reader.fileno()

    def set(self) -> None:
        """End the wait, or the next one."""
        with suppress(OSError):  # already set, or closed
            self._writer.send(b"!")

    def clear(self) -> None:
        """Prepare for the next wait."""
        with suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def close(self) -> None:
        """Release the descriptors; `set` may still be called."""
        self._reader.close()
        self._writer.close()


End = Literal["refused", "broken", "taken over"]


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A topic that the broker refused, and why; `is_lasting` if it refuses all its messages."""

    topic: str
    reason: str
    is_lasting: bool = True


class Connection(Protocol):
    """The part of `MqttClient` that the link uses."""

    reason: str
    window: int
    end: End

    @property
    def is_open(self) -> bool: ...
    @property
    def is_congested(self) -> bool: ...
    def open(self, wake_up: WakeUp) -> None: ...
    def wait(self, wake_up: WakeUp, timeout_s: float) -> None: ...
    def publish(self, message: Message) -> int: ...
    def subscribe(self, topic: str) -> None: ...
    def acknowledged(self) -> list[int]: ...
    def refused(self) -> list[RefusedMessage]: ...
    def received(self) -> list[Message]: ...
    def give_up(self, reason: str) -> None: ...
    def close(self) -> None: ...


Connect = Callable[[Message, str], Connection]  # called with a will and a vital topic


@dataclass(frozen=True, slots=True)
class Discovery:
    """The discovery by Home Assistant: its topics begin with `prefix`, `message` announces us."""

    prefix: str
    message: Callable[[], Message]


@dataclass(frozen=True, slots=True)
class MqttStatus:
    """The state of the connection; `trouble` says why there is none, "" if there is one.

    The counts are of events since the start.
    """

    connected: bool = False
    trouble: str = ""
    acknowledged: int = 0
    redelivered: int = 0


class MqttLink:
    """Connects to a broker, reconnects, and publishes events and state.

    `connect` makes a connection. Received commands go to `commands`; if it is None, none are
    subscribed to. The device is announced only with `discovery`.
    """

    def __init__(
        self,
        *,
        broker_name: str,
        connect: Connect,
        topics: Topics,
        events: EventDelivery,
        states: StatePublisher,
        discovery: Discovery | None,
        commands: Backlog[Command] | None,
    ) -> None:
        self._broker_name, self._connect, self._topics = broker_name, connect, topics
        self._events, self._states = events, states
        self._discovery = discovery
        self._commands = None if commands is None else IncomingCommands(commands, topics)
        self._wake_up = WakeUp()
        self._closing = threading.Event()
        self._status = MqttStatus()
        self._is_trouble_logged = False
        self._announce_at_s = 0.0
        self._refused: set[str] = set()  # topics that are not published any more
        self._warned: set[str] = set()  # topics of which a message was too large
        self._credit, self._credited_s = float(BURST), time.monotonic()
        self._short_connections = 0

    @property
    def status(self) -> MqttStatus:
        """The connection and the events delivered over it."""
        return replace(
            self._status,
            acknowledged=self._events.acknowledged,
            redelivered=self._events.redelivered,
        )

    def wake(self) -> None:
        """Make the thread send new events at once; never blocks."""
        self._wake_up.set()

    def close(self) -> None:
        """Make the thread deliver the last events, disconnect and end."""
        self._closing.set()
        self._wake_up.set()

    def run(self) -> None:
        """Keep a connection until closed: the body of the thread, which is run once."""
        try:
            self._keep_connected()
        finally:
            self._wake_up.close()

    def _keep_connected(self) -> None:
        back_off = BackOff(first_s=FIRST_RETRY_S, last_s=LAST_RETRY_S)
        while not self._closing.is_set():
            started_s = time.monotonic()
            end = self._connect_once()
            lasted_s = time.monotonic() - started_s
            self._check_takeover(end, lasted_s)
            if lasted_s > STABLE_S:
                back_off.reset()
            # Connecting again at once would disconnect the other client with the same id.
            self._closing.wait(LAST_RETRY_S if end == "taken over" else back_off.next_s())

    def _connect_once(self) -> End:
        """Connect and serve the connection; return how it ended."""
        will = mqtt_messages.availability(self._topics, OFFLINE)
        connection = self._connect(will, self._topics.event)
        try:
            connection.open(self._wake_up)
        except OSError as error:
            self._set_trouble(str(error))
            return "refused"
        self._set_trouble("")
        try:
            self._serve(connection)
            self._finish(connection)
        finally:
            connection.close()
            self._record_refusals(connection)
            self._events.disconnected()
        if not self._closing.is_set():
            self._set_trouble(connection.reason)
        return connection.end

    def _check_takeover(self, end: End, lasted_s: float) -> None:
        """Warn of a second client with the same id if the broker does not report one."""
        self._short_connections = (
            self._short_connections + 1 if end == "broken" and lasted_s < SHORT_S else 0
        )
        if self._short_connections == SUSPICIOUS:
            log.warning(
                "mqtt: the connection broke %d times within a minute; another client may use the "
                "id %s: give each daemon another mqtt.topic",
                self._short_connections,
                self._topics.device,
            )

    def _serve(self, connection: Connection) -> None:
        self._begin(connection)
        stable_at_s = time.monotonic() + STABLE_S
        while connection.is_open and not self._closing.is_set():
            connection.wait(self._wake_up, TICK_S)
            self._record_refusals(connection)
            self._deliver(connection)
            if self._events.waited_s > ACKNOWLEDGE_S:
                connection.give_up("the broker acknowledges no events")
            self._slow_down(self._receive(connection))
            if self._commands is not None:
                self._commands.pass_on()
            if self._is_trouble_logged and time.monotonic() > stable_at_s:
                self._report_connected()
            if 0 < self._announce_at_s <= time.monotonic():
                self._announce(connection)
            if not connection.is_congested:
                self._states.publish_due(lambda message: self._publish(connection, message))

    def _begin(self, connection: Connection) -> None:
        self._publish(connection, mqtt_messages.availability(self._topics, ONLINE))
        if self._commands is not None:
            for name in COMMANDS:
                connection.subscribe(self._topics.command(name))
        if self._discovery is not None:
            connection.subscribe(home_assistant.birth_topic(self._discovery.prefix))
        self._announce(connection)
        self._events.connected()
        self.wake()

    def _announce(self, connection: Connection) -> None:
        self._announce_at_s = 0.0
        if self._discovery is not None:
            self._publish(connection, self._discovery.message())
        self._states.reset()

    def _finish(self, connection: Connection) -> None:
        """Wait for the last acknowledgements, at most CLOSE_S, then announce the end."""
        until_s = time.monotonic() + CLOSE_S
        self._deliver(connection)
        while connection.is_open and not self._events.is_done and time.monotonic() < until_s:
            connection.wait(self._wake_up, until_s - time.monotonic())
            self._deliver(connection)
        if connection.is_open:
            self._states.publish_no_faces(lambda message: self._publish(connection, message))
            self._publish(connection, mqtt_messages.availability(self._topics, OFFLINE))

    def _deliver(self, connection: Connection) -> None:
        self._events.acknowledge(connection.acknowledged())
        window = max(connection.window - RESERVED, 1)
        self._events.send(lambda message: self._publish(connection, message), window=window)

    def _publish(self, connection: Connection, message: Message) -> int:
        """Publish unless the broker refuses the topic; return the message's number, or 0."""
        if message.topic in self._refused:
            return 0
        return connection.publish(message)

    def _record_refusals(self, connection: Connection) -> None:
        """Log each refusal once; a topic that the broker refuses is not published any more."""
        for refusal in connection.refused():
            where = f"mqtt: {self._broker_name} refuses"
            if refusal.is_lasting and refusal.topic not in self._refused:
                self._refused.add(refusal.topic)
                log.warning(
                    "%s %s, which is not published until the next start: %s",
                    where,
                    refusal.topic,
                    refusal.reason,
                )
            elif not refusal.is_lasting and refusal.topic not in self._warned:
                self._warned.add(refusal.topic)
                log.warning("%s a message to %s: %s", where, refusal.topic, refusal.reason)

    def _receive(self, connection: Connection) -> int:
        """Collect commands and answer Home Assistant's birth; return the count of messages."""
        messages = connection.received()
        for message in messages:
            if self._commands is not None and self._topics.command_name(message.topic):
                self._commands.add(message)
            elif message.payload == home_assistant.BIRTH and not self._announce_at_s:
                self._announce_at_s = time.monotonic() + random.uniform(0, BIRTH_S)  # noqa: S311
        return len(messages)

    def _slow_down(self, count: int) -> None:
        """Count messages, and rest in a flood (a token bucket); the broker keeps the next ones."""
        now_s = time.monotonic()
        refilled = self._credit + MESSAGES_PER_S * (now_s - self._credited_s)
        self._credit = max(min(refilled, BURST) - count, 0.0)
        self._credited_s = now_s
        if count and not self._credit:
            self._closing.wait(REST_S)

    def _set_trouble(self, trouble: str) -> None:
        """Record the state; log the first trouble, then none until a connection is stable."""
        self._status = MqttStatus(connected=not trouble, trouble=trouble)
        if self._is_trouble_logged:
            return
        if trouble:
            log.warning("mqtt: %s: %s; events wait in the log", self._broker_name, trouble)
            self._is_trouble_logged = True
        else:
            self._report_connected()

    def _report_connected(self) -> None:
        log.info("mqtt: %s: connected", self._broker_name)
        self._is_trouble_logged = False
