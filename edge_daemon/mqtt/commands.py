"""Collects the commands that arrive, and passes the newest of them on at a modest rate."""

from __future__ import annotations

import logging
import time
from typing import Final

from edge_daemon.core.slots import Backlog
from edge_daemon.core.types import Command
from edge_daemon.mqtt import messages as mqtt_messages
from edge_daemon.mqtt.messages import Message, Topics

PASS_S: Final = 1.0  # the shortest time between two commands that are passed on
FLOOD: Final = 20  # more commands in that time are no person's
FLOOD_S: Final = 10.0  # instead of PASS_S, in a flood

log = logging.getLogger(__name__)


class IncomingCommands:
    """Keeps the newest command of each topic until it is passed on to `commands`.

    Each command rebuilds the stages, and blurring that is turned on holds the picture back for half
    a second: a flood of commands must cost neither frames nor the main thread.
    """

    def __init__(self, commands: Backlog[Command], topics: Topics) -> None:
        self._commands, self._topics = commands, topics
        self._newest: dict[str, Message] = {}
        self._count = 0  # since some were passed on
        self._is_flooded = False
        self._pass_at_s = 0.0

    def add(self, message: Message) -> None:
        """Take a message to the topic of a command."""
        self._newest[message.topic] = message
        self._count += 1

    def pass_on(self) -> None:
        """Pass on the newest command of each topic, if it is time."""
        now_s = time.monotonic()
        if now_s < self._pass_at_s or not self._newest:
            return
        is_flood = self._count > FLOOD
        if is_flood and not self._is_flooded:
            log.warning(
                "mqtt: %d commands arrived at once; while so many come, the newest are carried out "
                "every %g s",
                self._count,
                FLOOD_S,
            )
        self._is_flooded, self._count = is_flood, 0
        self._pass_at_s = now_s + (FLOOD_S if is_flood else PASS_S)
        for topic, message in self._newest.items():
            try:
                name = self._topics.command_name(topic)
                self._commands.put(mqtt_messages.command(name, message.payload))
            except ValueError as error:
                log.warning("mqtt: %s", error)
        self._newest.clear()
