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
from edge_daemon.core.types import Face, View, rfc3339
from edge_daemon.status.observed import Observed

MEMORY: Final = Path("/proc/self/statm")  # in pages; the second number is what is in memory


class StateReport:
    """Looks at the running parts when asked."""

    def __init__(
        self, observed: Observed, *, stage_means_ms: Callable[[], dict[str, float]]
    ) -> None:
        self._observed = observed
        self._stage_means_ms = stage_means_ms
        self._started_s = time.monotonic()

    def state(self, viewers: int) -> dict[str, object]:
        """All that the page shows but for the events, and what /metrics says."""
        status, counts = self._observed.camera.status, self._observed.camera.counts
        progress = self._observed.pipeline.progress
        view, stages = self._observed.views.peek(), self._observed.pipeline.stages
        model = stages.classifier.model
        return {
            "version": __version__,
            "time": rfc3339(datetime.now(UTC)),
            "camera": {
                "name": self._observed.camera_name,
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
                "skipped": self._observed.throttle.skipped,
            },
            "event_counts": self._observed.feed.counts,
            "event_log": self._log_state(),
            "snapshots": self._snapshot_state(),
            "mqtt": asdict(mqtt) if (mqtt := self._observed.mqtt()) else None,
            "update": asdict(update) if (update := self._observed.update()) else None,
            "controls": {
                "pause": stages.paused,
                "blur": stages.drawing.blur,
                "interval": stages.schedule.chosen or "auto",
            },
            "viewers": viewers,
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "memory_mb": _memory_mb(),
            "board": asdict(self._observed.board.status)
            | {"slowed_down": self._observed.throttle.active},
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
        status = self._observed.camera.status
        troubles = [self._observed.event_log.status.reason, self._observed.snapshots.reason]
        if status.state not in {"ok", "starting", "ended"}:
            troubles.insert(0, status.reason)
        found = [trouble for trouble in troubles if trouble]
        return not found, "; ".join(found) or status.reason

    def _log_state(self) -> dict[str, object]:
        status = self._observed.event_log.status
        return {
            "path": str(self._observed.event_log.path),
            "trouble": status.reason,
            "failures": status.failures,
            "written": status.written,
            "waiting": len(self._observed.backlog),
            "dropped": self._observed.backlog.dropped,
        }

    def _snapshot_state(self) -> dict[str, object]:
        return {
            "enabled": bool(self._observed.pipeline.stages.snapshot_types),
            "trouble": self._observed.snapshots.reason,
            "written": self._observed.snapshots.written,
            "failed": self._observed.snapshots.failed,
            "dropped": self._observed.shots.dropped,
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
