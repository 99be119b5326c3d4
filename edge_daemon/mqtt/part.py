"""The connection to an MQTT broker as a part of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from edge_daemon.config.schema import Config
from edge_daemon.core.parts import Apply, Metric, Part, counter, gauge, nothing_to_apply
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.threads import JOIN_S, Worker
from edge_daemon.core.types import Command, View
from edge_daemon.events.feed import EventFeed
from edge_daemon.mqtt.build import build_connector, build_mqtt, configured_topics
from edge_daemon.mqtt.link import MqttLink


class MqttPart(Part[Config]):
    """Publishes events, faces and state if a broker is configured, and passes commands on.

    `pictures` are the snapshots as JPEG. `labels` returns the labels of the model in use, `state`
    the answer of `/state`. Raises MqttError if MQTT cannot work until the user fixes something.
    """

    name = "mqtt"

    def __init__(
        self,
        config: Config,
        *,
        feed: EventFeed,
        views: Latest[View],
        pictures: Latest[bytes],
        state: Callable[[], dict[str, Any]],
        labels: Callable[[], Sequence[str]],
        commands: Backlog[Command],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        def build(config: Config) -> MqttLink | None:
            if not config.mqtt.host:
                return None
            return build_mqtt(
                config,
                feed=feed,
                views=views,
                pictures=pictures,
                state=state,
                labels=labels,
                commands=commands,
            )

        self._build, self._on_failure = build, on_failure
        self._settings = _settings(config)
        self._link = build(config)
        self._worker: Worker | None = None
        feed.listen(self._wake)

    def start(self) -> None:
        if self._link is not None:
            self._worker = Worker("mqtt", self._link.run, self._on_failure)
            self._worker.start()

    def stop(self) -> None:
        if self._link is not None:
            self._link.close()
        if self._worker is not None:
            self._worker.join(JOIN_S)

    def report(self) -> dict[str, Any]:
        return {"mqtt": asdict(self._link.status) if self._link else None}

    def metrics(self) -> Iterable[Metric]:
        if self._link is None:
            return []
        status = self._link.status
        return [
            gauge("mien_mqtt_connected", "1 while the broker is connected.", status.connected),
            counter(
                "mien_mqtt_events_acknowledged",
                "Events the broker acknowledged.",
                status.acknowledged,
            ),
            counter(
                "mien_mqtt_events_redelivered",
                "Acknowledged events that the broker may have twice.",
                status.redelivered,
            ),
        ]

    def adopt(self, config: Config) -> Apply:
        """Disconnect and connect again if anything about the connection has changed."""
        settings = _settings(config)
        if settings == self._settings:
            return nothing_to_apply
        if config.mqtt.host:
            build_connector(config, configured_topics(config).device)

        def apply() -> None:
            self.stop()
            self._settings, self._link, self._worker = settings, self._build(config), None
            self.start()

        return apply

    def _wake(self) -> None:
        if (link := self._link) is not None:
            link.wake()


def _settings(config: Config) -> tuple[object, ...]:
    return config.mqtt, config.camera.name, config.events.path
