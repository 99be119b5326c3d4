"""MQTT's thread: events and states in, messages to a broker out, whether it is there or not."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from edge_daemon.core.backoff import BackOff
from edge_daemon.core.errors import UserError
from edge_daemon.core.slots import Backlog
from edge_daemon.core.types import Command
from edge_daemon.mqtt import home_assistant
from edge_daemon.mqtt import messages as mqtt_messages
from edge_daemon.mqtt.bell import Bell
from edge_daemon.mqtt.delivery import EventDelivery
from edge_daemon.mqtt.messages import COMMANDS, OFFLINE, ONLINE, Message, Topics
from edge_daemon.mqtt.states import StateTeller

TICK_S: Final = 1.0
OTHERS: Final = 2  # messages that need the broker's acknowledgement, besides events
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
STEADY_S: Final = 10.0  # a connection that lasts so long is a good one
GOODBYE_S: Final = 0.6  # for the last events, of the second that a stopping thread has
BIRTH_S: Final = 2.0  # many devices hear Home Assistant's birth at once; each answers within this

log = logging.getLogger(__name__)


class MqttError(UserError):
    """MQTT can never work until the user mends something; the message says what."""


class Connection(Protocol):
    """What is needed of a `MqttClient`."""

    reason: str
    window: int

    @property
    def is_open(self) -> bool: ...
    def open(self, bell: Bell) -> None: ...
    def wait(self, bell: Bell, timeout_s: float) -> None: ...
    def publish(self, message: Message) -> int: ...
    def subscribe(self, topic: str) -> None: ...
    def acknowledged(self) -> list[int]: ...
    def received(self) -> list[Message]: ...
    def close(self) -> None: ...


Connect = Callable[[Message], Connection]


@dataclass(frozen=True, slots=True)
class Discovery:
    """How the device is announced to Home Assistant, whose topics begin with `prefix`."""

    prefix: str
    announcement: Callable[[], Message]


@dataclass(frozen=True, slots=True)
class MqttStatus:
    """How it goes with the broker; `trouble` is "" or says why there is no connection.

    The counts are of events, since the start.
    """

    connected: bool = False
    trouble: str = ""
    acknowledged: int = 0
    redelivered: int = 0


class Mqtt:
    """Connects to a broker, again and again, and sends what there is.

    `connect` makes a connection with a will. Commands are listened for only where there are
    `commands` to take them, and nothing is announced without `discovery`.
    """

    def __init__(
        self,
        *,
        broker_name: str,
        connect: Connect,
        topics: Topics,
        events: EventDelivery,
        states: StateTeller,
        discovery: Discovery | None,
        commands: Backlog[Command] | None,
    ) -> None:
        self._broker_name, self._connect, self._topics = broker_name, connect, topics
        self._events, self._states = events, states
        self._discovery, self._commands = discovery, commands
        self._link = MqttStatus()
        self._bell, self._closing = Bell(), threading.Event()
        self._announce_at_s = 0.0
        self._is_reported = False  # that the broker is away

    @property
    def status(self) -> MqttStatus:
        counts = self._events.acknowledged, self._events.redelivered
        return replace(self._link, acknowledged=counts[0], redelivered=counts[1])

    def ring(self) -> None:
        """There may be something to send; may be called by any thread."""
        self._bell.ring()

    def close(self) -> None:
        """Have `run` send what there is, for a moment, and end."""
        self._closing.set()
        self.ring()

    def run(self) -> None:
        """Keep up a connection until closed: the body of the thread."""
        back_off = BackOff(first_s=FIRST_RETRY_S, last_s=LAST_RETRY_S)
        while not self._closing.is_set():
            started_s = time.monotonic()
            self._try_once()
            if time.monotonic() - started_s > STEADY_S:
                back_off.reset()
            self._closing.wait(back_off.next_s())

    def _try_once(self) -> None:
        """Connect; return when there is no connection any more."""
        will = mqtt_messages.availability(self._topics, OFFLINE)
        connection = self._connect(will)
        try:
            connection.open(self._bell)
        except OSError as error:
            self._judge(str(error))
            return
        self._judge("")
        try:
            self._serve(connection)
            self._say_goodbye(connection)
        finally:
            connection.close()
            self._events.disconnected()
        if not self._closing.is_set():
            self._judge(connection.reason)

    def _serve(self, connection: Connection) -> None:
        self._greet(connection)
        steady_at_s = time.monotonic() + STEADY_S
        while connection.is_open and not self._closing.is_set():
            connection.wait(self._bell, TICK_S)
            self._deliver(connection)
            self._hear(connection)
            if self._is_reported and time.monotonic() > steady_at_s:
                self._report_connected()
            if 0 < self._announce_at_s <= time.monotonic():
                self._announce(connection)
            self._states.tell(connection.publish)

    def _greet(self, connection: Connection) -> None:
        connection.publish(mqtt_messages.availability(self._topics, ONLINE))
        if self._commands is not None:
            for name in COMMANDS:
                connection.subscribe(self._topics.command(name))
        if self._discovery is not None:
            connection.subscribe(home_assistant.birth_topic(self._discovery.prefix))
        self._announce(connection)
        self._events.connected()
        self.ring()

    def _announce(self, connection: Connection) -> None:
        self._announce_at_s = 0.0
        if self._discovery is not None:
            connection.publish(self._discovery.announcement())
        self._states.forget()

    def _say_goodbye(self, connection: Connection) -> None:
        """Wait a moment for the last acknowledgements; then we are offline."""
        until_s = time.monotonic() + GOODBYE_S
        self._deliver(connection)
        while connection.is_open and not self._events.is_done and time.monotonic() < until_s:
            connection.wait(self._bell, until_s - time.monotonic())
            self._deliver(connection)
        if connection.is_open:
            connection.publish(mqtt_messages.availability(self._topics, OFFLINE))

    def _deliver(self, connection: Connection) -> None:
        self._events.acknowledge(connection.acknowledged())
        self._events.send(connection.publish, window=max(connection.window - OTHERS, 1))

    def _hear(self, connection: Connection) -> None:
        """Take note of Home Assistant's birth, and pass commands on."""
        for message in connection.received():
            name = self._topics.name_of(message.topic)
            if name and self._commands is not None:
                try:
                    self._commands.put(mqtt_messages.command(name, message.payload))
                except ValueError as error:
                    log.warning("mqtt: %s", error)
            elif message.payload == home_assistant.BIRTH:
                self._announce_at_s = time.monotonic() + random.uniform(0, BIRTH_S)  # noqa: S311

    def _judge(self, trouble: str) -> None:
        """Take note of how it goes; log the first trouble, until all has been well for a while."""
        self._link = MqttStatus(connected=not trouble, trouble=trouble)
        if self._is_reported:
            return
        if trouble:
            log.warning("mqtt: %s: %s; events wait in the log", self._broker_name, trouble)
            self._is_reported = True
        else:
            self._report_connected()

    def _report_connected(self) -> None:
        log.info("mqtt: %s: connected", self._broker_name)
        self._is_reported = False
