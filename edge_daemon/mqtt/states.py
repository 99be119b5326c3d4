"""Publishes the current state as retained messages, at a limited rate."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from edge_daemon.core.slots import Latest
from edge_daemon.core.types import View
from edge_daemon.mqtt import messages as mqtt_messages
from edge_daemon.mqtt.messages import Message, Topics

CHECK_S: Final = 1.0  # the shortest time between two messages on a topic
REPEAT_S: Final = 30.0  # the longest, without a change


class StatePublisher:
    """Publishes faces and state when they change, and at intervals.

    `faces` and `state` return the values of a view and of the daemon. `pictures` are the pictures
    of events; with None, none are published, and a picture retained earlier is removed.
    """

    def __init__(
        self,
        *,
        topics: Topics,
        views: Latest[View],
        pictures: Latest[bytes] | None,
        faces: Callable[[View], dict[str, Any]],
        state: Callable[[], dict[str, Any]],
    ) -> None:
        self._topics, self._views, self._pictures = topics, views, pictures
        self._faces, self._state = faces, state
        self.reset()

    def reset(self) -> None:
        """Publish everything again, as for a new connection."""
        self._picture_seq = 0
        self._published_faces: object = None
        self._published_state: object = None
        self._checked_s = self._faces_s = self._state_s = -REPEAT_S

    def publish_due(self, publish: Callable[[Message], int]) -> None:
        """Publish the values that have changed or are due again."""
        now_s = time.monotonic()
        if now_s - self._checked_s >= CHECK_S:
            self._checked_s = now_s
            self._publish_faces(publish, now_s)
            self._publish_state(publish, now_s)
        self._publish_picture(publish)

    def publish_no_faces(self, publish: Callable[[Message], int]) -> None:
        """Publish that there are no faces, before the daemon stops."""
        publish(mqtt_messages.no_faces(self._topics))

    def _publish_faces(self, publish: Callable[[Message], int], now_s: float) -> None:
        view = self._views.peek()
        if view is None:
            return
        found = sorted((face.id, face.label) for face in view.faces)
        if found != self._published_faces or now_s - self._faces_s >= REPEAT_S:
            self._published_faces, self._faces_s = found, now_s
            publish(mqtt_messages.faces(self._topics, self._faces(view)))

    def _publish_state(self, publish: Callable[[Message], int], now_s: float) -> None:
        state = self._state()
        compared = [state["camera"]["state"], state["event_log"]["trouble"], state["controls"]]
        compared.append(state["board"]["limits"])
        if compared != self._published_state or now_s - self._state_s >= REPEAT_S:
            self._published_state, self._state_s = compared, now_s
            publish(mqtt_messages.state(self._topics, state))

    def _publish_picture(self, publish: Callable[[Message], int]) -> None:
        if self._pictures is not None:
            found = self._pictures.get(self._picture_seq, 0)
        else:
            found = (1, b"") if self._picture_seq == 0 else None
        if found is not None:
            self._picture_seq, jpeg = found
            publish(mqtt_messages.snapshot(self._topics, jpeg))
