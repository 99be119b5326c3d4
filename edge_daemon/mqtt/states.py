"""What holds at present: views, state and pictures in, retained messages out, at a modest rate."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from edge_daemon.core.slots import Latest
from edge_daemon.core.types import View
from edge_daemon.mqtt import messages as mqtt_messages
from edge_daemon.mqtt.messages import Message, Topics

LOOK_S: Final = 1.0  # at most so often
REPEAT_S: Final = 30.0  # and, without a change, so often


class StateTeller:
    """Tells who is there, and how the device is: at once when it changes, else now and then.

    `faces` and `state` say what is to be told of a view and of the daemon. `pictures` are those of
    events, None where they are not to be sent; then one from former days is taken back.
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
        self.forget()

    def forget(self) -> None:
        """Tell all anew."""
        self._picture_seq = 0
        self._told_faces: object = None
        self._told_state: object = None
        self._looked_s = self._faces_s = self._state_s = -REPEAT_S

    def tell(self, publish: Callable[[Message], int]) -> None:
        """Publish what is due."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._tell_faces(publish, now_s)
            self._tell_state(publish, now_s)
        self._tell_picture(publish)

    def _tell_faces(self, publish: Callable[[Message], int], now_s: float) -> None:
        view = self._views.peek()
        if view is None:
            return
        found = sorted((face.id, face.label) for face in view.faces)
        if found != self._told_faces or now_s - self._faces_s >= REPEAT_S:
            self._told_faces, self._faces_s = found, now_s
            publish(mqtt_messages.faces(self._topics, self._faces(view)))

    def _tell_state(self, publish: Callable[[Message], int], now_s: float) -> None:
        state = self._state()
        settled = [state["camera"]["state"], state["event_log"]["trouble"], state["controls"]]
        settled.append(state["board"]["limits"])
        if settled != self._told_state or now_s - self._state_s >= REPEAT_S:
            self._told_state, self._state_s = settled, now_s
            publish(mqtt_messages.state(self._topics, state))

    def _tell_picture(self, publish: Callable[[Message], int]) -> None:
        if self._pictures is not None:
            found = self._pictures.get(self._picture_seq, 0)
        else:
            found = (1, b"") if self._picture_seq == 0 else None
        if found is not None:
            self._picture_seq, jpeg = found
            publish(mqtt_messages.snapshot(self._topics, jpeg))
