"""The camera as a part of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, get_args

from edge_daemon.capture.build import configured_source
from edge_daemon.capture.camera import Camera, Loss, State
from edge_daemon.capture.sources import OpenSource
from edge_daemon.config.schema import Config
from edge_daemon.config.sections import CameraConfig
from edge_daemon.core.parts import (
    Apply,
    EventLogger,
    Metric,
    Part,
    counter,
    counters,
    frames_dropped,
    gauges,
    info,
)
from edge_daemon.core.slots import Latest
from edge_daemon.core.types import Frame

HEALTHY = frozenset({"ok", "starting", "ended"})


class CameraPart(Part[Config]):
    """Publishes the camera's frames in `frames`. Raises SourceError if that can never work."""

    name = "camera"

    def __init__(
        self,
        config: Config,
        *,
        frames: Latest[Frame],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._frames, self._on_failure = frames, on_failure
        self._loggers: list[EventLogger] = []
        self._settings = config.camera
        self._camera = self._build(config.camera, configured_source(config))

    @property
    def has_ended(self) -> bool:
        """Whether the source is a file that was played to its end."""
        return self._camera.status.state == "ended"

    @property
    def notice(self) -> str:
        """Why the camera is lost; "" while it is not."""
        return self._camera.notice

    def listen(self, log_event: EventLogger) -> None:
        """Call `log_event` when the camera is lost and when it is back; call before `start`."""
        self._loggers.append(log_event)

    def start(self) -> None:
        self._camera.start()

    def stop(self) -> None:
        self._camera.stop()

    def report(self) -> dict[str, Any]:
        status, counts = self._camera.status, self._camera.counts
        return {
            "camera": {
                "name": self._settings.name,
                "source": status.name,
                "no_camera_found": self._settings.source == "auto" and status.name == "demo",
                "state": status.state,
                "cause": status.cause,
                "notice": status.reason,
                "reopened": counts.reopened,
                "abandoned": counts.abandoned,
                "lost": dict(counts.lost),
            },
            "frames": {"captured": counts.captured, "overwritten": counts.overwritten},
        }

    def metrics(self) -> Iterable[Metric]:
        status, counts = self._camera.status, self._camera.counts
        states = [(state, float(state == status.state)) for state in get_args(State)]
        causes = [(cause, float(cause == status.cause)) for cause in counts.lost]
        return [
            info("mien_camera", "The camera.", name=self._settings.name, source=status.name),
            counter("mien_frames_captured", "Frames the camera delivered.", counts.captured),
            frames_dropped(counts.overwritten, "overwritten"),
            gauges("mien_camera_state", "1 for the camera's state.", "state", states),
            gauges("mien_camera_lost", "1 for why the camera is lost.", "cause", causes),
            counters(
                "mien_camera_losses",
                "Attempts to open the camera that failed or came to an end.",
                "cause",
                counts.lost.items(),
            ),
            counter(
                "mien_camera_reopenings",
                "Attempts to open the camera after the first.",
                counts.reopened,
            ),
            counter(
                "mien_camera_reads_abandoned", "Reads that hung in the driver.", counts.abandoned
            ),
        ]

    def trouble(self) -> str:
        status = self._camera.status
        return "" if status.state in HEALTHY else status.reason

    def adopt(self, config: Config) -> Apply:
        """Open the camera again if anything but its name has changed."""
        settings = config.camera
        renamed = self._settings.model_copy(update={"name": settings.name})
        open_source = None if settings == renamed else configured_source(config)

        def apply() -> None:
            self._settings = settings
            if open_source is not None:
                self._camera.stop()
                self._camera = self._build(settings, open_source, self._camera)
                self._camera.start()

        return apply

    def _build(
        self, settings: CameraConfig, open_source: OpenSource, before: Camera | None = None
    ) -> Camera:
        return Camera(
            open_source=open_source,
            frames=self._frames,
            timeout_s=settings.timeout_s,
            lossless=settings.lossless,
            on_failure=self._on_failure,
            check_frozen=settings.check_frozen,
            rotate=settings.rotate,
            mirror=settings.mirror,
            on_lost=self._log_loss,
            on_restored=self._log_return,
            before=before,
        )

    def _log_loss(self, loss: Loss) -> None:
        for log_event in self._loggers:
            log_event("camera_lost", loss.at, cause=loss.cause, reason=loss.reason)

    def _log_return(self, at: datetime, outage_s: float) -> None:
        for log_event in self._loggers:
            log_event("camera_restored", at, duration_s=round(outage_s, 3))
