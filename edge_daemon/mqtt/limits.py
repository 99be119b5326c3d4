"""What a broker can do of MQTT 5: retained messages and QoS 1 are optional (section 3.2.2.3)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any, Final

from edge_daemon.mqtt.messages import Message

NO_RETAIN: Final = 0x9A  # reason codes of a refusal
NO_QOS: Final = 0x9B

log = logging.getLogger(__name__)


@dataclass(slots=True)
class BrokerLimits:
    """What the broker has said it can do; kept from one connection to the next."""

    retains: bool = True
    max_qos: int = 1

    def learn(self, code: int, properties: Any) -> None:
        """Learn from the answer to CONNECT, a refusal too; log each limit once."""
        if self.retains and (code == NO_RETAIN or not getattr(properties, "RetainAvailable", 1)):
            self.retains = False
            log.warning("mqtt: the broker retains no messages: clients learn the state within 30 s")
        if self.max_qos and (code == NO_QOS or not getattr(properties, "MaximumQoS", 1)):
            self.max_qos = 0
            log.warning("mqtt: the broker has QoS 0 only: an event lost on its way stays lost")

    def within(self, message: Message) -> Message:
        """Return `message` as the broker accepts it."""
        return replace(
            message, qos=min(message.qos, self.max_qos), retain=message.retain and self.retains
        )
