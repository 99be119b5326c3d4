"""What /state and /healthz say: the parts in, plain values for JSON out."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edge_daemon import __version__
from edge_daemon.backlog import Backlog
from edge_daemon.board import Board
from edge_daemon.camera import Camera
from edge_daemon.event_feed import EventFeed
from edge_daemon.event_log import EventLog
from edge_daemon.events import Event, rfc3339
from edge_daemon.latest import Latest
from edge_daemon.pipeline import Pipeline
from edge_daemon.slow_down import SlowDown
from edge_daemon.snapshots import Shot, Snapshots
from edge_daemon.types import Face, View

MEMORY: Final = Path("/proc/self/statm")  # in pages; the second number is what is in memory

THERMAL: Final = Path("/sys/class/thermal/thermal_zone0/temp")


class StateReport:
    """Looks at the running parts when asked."""

    def __init__(
        self,
        *,
        camera_name: str,
        camera: Camera,
        pipeline: Pipeline,
        views: Latest[View],
        feed: EventFeed,
        backlog: Backlog[Event],
        event_log: EventLog,
        snapshots: Snapshots,
        shots: Backlog[Shot],
        board: Board,
        slow_down: SlowDown,
        stage_means_ms: Callable[[], dict[str, float]],
    ) -> None:
        self._camera_name, self._camera = camera_name, camera
        self._pipeline, self._views = pipeline, views
        self._feed, self._backlog, self._event_log = feed, backlog, event_log
        self._snapshots, self._shots = snapshots, shots
        self._board, self._slow_down = board, slow_down
        self._stage_means_ms = stage_means_ms
        self._started_s = time.monotonic()

    def state(self, viewers: int) -> dict[str, object]:
        """All that the page shows but for the events, and what /metrics says."""
        status, counts = self._camera.status, self._camera.counts
        progress = self._pipeline.progress
        view, stages = self._views.peek(), self._pipeline.stages
        model = stages.classifier.model
        return {
            "version": __version__,
            "time": rfc3339(datetime.now(UTC)),
            "camera": {
                "name": self._camera_name,
                "source": status.name,
                "state": status.state,
                "cause": status.cause,
                "notice": status.reason,
                "reopened": counts.reopened,
                "abandoned": counts.abandoned,
                "lost": dict(counts.lost),
            },
            "model": {
                "name": model.name,
                "sha256": model.sha256,
                "labels": list(model.labels),
            },
            "detector": stages.detector.name,
            "detector_interval": progress.detector_interval,
            "runtime": stages.classifier.runtime,
            "fps": round(progress.fps, 1),
            "latency_ms": round(progress.latency_s * 1000, 1),
            "stages_ms": self._stage_means_ms(),
            "frames": {
                "captured": counts.captured,
                "processed": progress.frames,
                "overwritten": counts.overwritten,
                "skipped": self._slow_down.skipped,
            },
            "event_counts": self._feed.counts,
            "event_log": self._log_state(),
            "snapshots": self._snapshot_state(),
            "viewers": viewers,
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "memory_mb": _memory_mb(),
            "board": asdict(self._board.status) | {"slowed_down": self._slow_down.active},
            "faces": [self._face(face, view) for face in view.faces] if view else [],
        }

    def faces(self, view: View) -> dict[str, Any]:
        """The faces of `view`, in pixels of a frame of `size`."""
        height, width = view.frame.bgr.shape[:2]
        return {
            "time": rfc3339(view.frame.captured_at),
            "size": [width, height],
            "notice": view.notice,
            "faces": [self._face(face, view) for face in view.faces],
        }

    def healthy(self) -> tuple[bool, str]:
        """Whether frames arrive and events are kept, and if not why."""
        status = self._camera.status
        troubles = [self._event_log.status.reason, self._snapshots.reason]
        if status.state not in {"ok", "starting", "ended"}:
            troubles.insert(0, status.reason)
        found = [trouble for trouble in troubles if trouble]
        return not found, "; ".join(found) or status.reason

    def _log_state(self) -> dict[str, object]:
        status = self._event_log.status
        return {
            "path": str(self._event_log.path),
            "trouble": status.reason,
            "failures": status.failures,
            "written": status.written,
            "waiting": len(self._backlog),
            "dropped": self._backlog.dropped,
        }

    def _snapshot_state(self) -> dict[str, object]:
        return {
            "enabled": bool(self._pipeline.stages.snapshot_types),
            "trouble": self._snapshots.reason,
            "written": self._snapshots.written,
            "failed": self._snapshots.failed,
            "dropped": self._shots.dropped,
        }

    def _face(self, face: Face, view: View) -> dict[str, Any]:
        return {
            "id": face.id,
            "label": face.label,
            "score": round(face.score, 3),
            "scores": {
                n: round(s, 3) for n, s in zip(view.drawing.labels, face.scores, strict=False)
            },
            "box": [round(value, 1) for value in face.box],
            "since_s": round(view.frame.captured_s - face.since_s, 1),
        }


def _memory_mb() -> float:
    """What the process has in memory, shared libraries included."""
    pages = int(MEMORY.read_text().split()[1])
    return round(pages * resource.getpagesize() / 1e6, 1)
