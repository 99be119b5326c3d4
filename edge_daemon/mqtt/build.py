"""Builds the MQTT link from the configuration."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from edge_daemon.config.schema import Config
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Command, View
from edge_daemon.events.build import build_log_reader, log_file
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.tail import EventFollower, PositionFile
from edge_daemon.mqtt import home_assistant
from edge_daemon.mqtt.delivery import EventDelivery
from edge_daemon.mqtt.link import Connect, Discovery, MqttLink
from edge_daemon.mqtt.messages import Topics
from edge_daemon.mqtt.states import StatePublisher

log = logging.getLogger(__name__)


def build_mqtt(
    config: Config,
    *,
    feed: EventFeed,
    views: Latest[View],
    pictures: Latest[bytes],
    state: Callable[[], dict[str, Any]],
    labels: Callable[[], Sequence[str]],
    commands: Backlog[Command],
) -> MqttLink:
    """Build the link; `state` returns the answer of `/state`. Raises MqttError."""
    mqtt = config.mqtt
    if mqtt.shows_password:
        log.warning("mqtt: the password is sent to %s unencrypted; set mqtt.tls", mqtt.host)
    topics = configured_topics(config)
    discovery = Discovery(
        mqtt.discovery,
        lambda: home_assistant.discovery_message(
            mqtt.discovery,
            topics,
            name=config.camera.name,
            labels=labels(),
            has_commands=mqtt.commands,
            has_snapshots=mqtt.snapshots,
            has_thermometer=bool(state()["board"]["temperatures_c"]),
        ),
    )
    path = log_file(config)
    return MqttLink(
        broker_name=f"{mqtt.host}:{mqtt.port}",
        connect=build_connector(config, topics.device),
        topics=topics,
        events=EventDelivery(
            topics=topics,
            follower=EventFollower(feed=feed, reader=build_log_reader(config)),
            file=PositionFile(path.with_suffix(".mqtt") if path else None),
            newest_id=lambda: feed.last_id,
        ),
        states=StatePublisher(
            topics=topics,
            views=views,
            pictures=pictures if mqtt.snapshots else None,
            faces=View.as_dict,
            state=state,
        ),
        discovery=discovery if mqtt.discovery else None,
        commands=commands if mqtt.commands else None,
    )


def build_connector(config: Config, client_id: str) -> Connect:
    """Build the function that connects to the broker.

    Raises MqttError, for instance if paho-mqtt is not installed.
    """
    from edge_daemon.mqtt.client import connector  # noqa: PLC0415 (paho-mqtt is an extra)

    mqtt = config.mqtt
    return connector(
        host=mqtt.host,
        port=mqtt.port,
        client_id=client_id,
        credentials=mqtt.credentials,
        tls=mqtt.tls,
        ca=mqtt.tls_ca,
        certificate=mqtt.tls_certificate,
        key=mqtt.tls_key,
    )


def configured_topics(config: Config) -> Topics:
    """Return the topics of this daemon."""
    return Topics(config.mqtt.topic, host=socket.gethostname(), camera=config.camera.name)
