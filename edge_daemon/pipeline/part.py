"""The pipeline as a part of the daemon."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_daemon.config.schema import Config
from edge_daemon.core.parts import Apply, Metric, Part, counter, frames_dropped, gauge, info
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.threads import JOIN_S, Worker
from edge_daemon.core.types import Frame, Progress, View
from edge_daemon.draw.annotate import untouched_jpeg
from edge_daemon.events.clock import ClockWatch
from edge_daemon.events.events import Event
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.snapshots import Shot
from edge_daemon.pipeline.build import (
    STILL_FACES,
    build_stages,
    calibration_file,
    detector_folder,
    still_parts,
)
from edge_daemon.pipeline.calibration import Calibrator
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.pipeline.stages import Stages
from edge_daemon.pipeline.throttle import Throttle
from edge_daemon.vision.detector import DetectorUnavailable, blazeface_files
from edge_daemon.vision.model_file import ModelFile
from edge_daemon.vision.still import StillReader

log = logging.getLogger(__name__)


class PipelinePart(Part[Config]):
    """Turns `frames` into `views` and events, by the stages of the configuration.

    `check` raises ModelError for a model that cannot be used on a runtime. `run_id` is written to
    every event. `notice` returns why the camera is lost, "" while it is not. Raises UserError if
    the model or detector cannot be used.
    """

    name = "pipeline"

    def __init__(
        self,
        config: Config,
        *,
        run_id: str,
        check: Callable[[ModelFile, str], None],
        frames: Latest[Frame],
        views: Latest[View],
        feed: EventFeed,
        shots: Backlog[Shot],
        notice: Callable[[], str],
        observe: Callable[[str, float], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._run_id, self._check_model = run_id, check
        self._views, self._feed = views, feed
        self._throttle = Throttle()
        self._lossless = config.camera.lossless
        self._stop = threading.Event()
        stages = build_stages(config, run_id, check)
        self.calibrator = Calibrator()
        self._calibrate_by(config, stages)
        self.stills = StillReader(still_parts(config, stages), max_faces=STILL_FACES)
        self._pipeline = Pipeline(
            frames=frames,
            views=views,
            events=feed,
            shots=shots,
            stages=stages,
            notice=notice,
            blank_size=config.camera.picture_size,
            stop=self._stop,
            throttle=self._throttle,
            calibrator=self.calibrator,
            observe=observe,
        )
        self._paused_s: float | None = None  # since when
        self._unused: Stages | None = None  # prepared for a configuration that was then refused
        self._worker = Worker("pipeline", self._pipeline.run, on_failure)

    @property
    def progress(self) -> Progress:
        """The pipeline's averages and counts."""
        return self._pipeline.progress

    @property
    def model(self) -> Path:
        """The file of the model in use."""
        return self._pipeline.stages.classifier.model.path

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the model in use."""
        return self._pipeline.stages.classifier.model.labels

    def log_event(self, kind: str, at: datetime, **fields: Any) -> None:
        """Log an event of the daemon itself, with the camera, run and model of every event."""
        self._feed.put(self._event(kind, at, **fields))

    def limit(self, limits: Sequence[str] | None) -> None:
        """Drop frames while the board is throttled by `limits`; never with `camera.lossless`."""
        if not self._lossless:
            self._throttle.update(limits, time.monotonic())

    def start(self) -> None:
        stages = self._pipeline.stages
        log.info("detector: %s", stages.detector.name)
        _log_model(stages)
        log.info("runtime: %s", stages.classifier.runtime)
        self._feed.follow_clock(ClockWatch(self._event))
        self._log_pause(stages)
        self._worker.start()

    def stop(self) -> None:
        self._stop.set()
        self._worker.join(JOIN_S)
        self._discard_unused()
        self._pipeline.close()

    def report(self) -> dict[str, Any]:
        progress, stages = self._pipeline.progress, self._pipeline.stages
        model, view = stages.classifier.model, self._views.peek()
        return {
            "model": {"name": model.name, "sha256": model.sha256, "labels": list(model.labels)},
            "detector": stages.detector.name,
            "detector_interval": progress.detector_interval,
            "runtime": stages.classifier.runtime,
            "fps": round(progress.fps, 1),
            "latency_ms": round(progress.latency_s * 1000, 1),
            "frames": {"processed": progress.frames, "skipped": self._throttle.skipped},
            "controls": {
                "pause": stages.paused,
                "blur": stages.drawing.blur,
                "interval": stages.schedule.chosen or "auto",
            },
            "board": {"slowed_down": self._throttle.active},
            "camera_jpeg": view is not None and untouched_jpeg(view) is not None,
            "calibration": self.calibrator.report(),
            "masks": [list(shape) for shape in stages.masks.shapes],
            "faces": view.as_dict()["faces"] if view else [],
        }

    def metrics(self) -> Iterable[Metric]:
        progress, stages = self._pipeline.progress, self._pipeline.stages
        model, view = stages.classifier.model, self._views.peek()
        return [
            info(
                "mien_model",
                "The model, and what runs it.",
                name=model.name,
                sha256=model.sha256,
                runtime=stages.classifier.runtime,
                detector=stages.detector.name,
            ),
            counter("mien_frames_processed", "Frames that were processed.", progress.frames),
            frames_dropped(self._throttle.skipped, "slow_down"),
            frames_dropped(self._pipeline.damaged, "damaged"),
            gauge("mien_frame_rate_hertz", "Processed frames a second.", progress.fps),
            gauge(
                "mien_slow_down", "1 while half of the frames are dropped.", self._throttle.active
            ),
            gauge("mien_faces", "Faces in the newest view.", len(view.faces) if view else 0),
        ]

    def adopt(self, config: Config) -> Apply:
        self._discard_unused()
        stages = self._unused = build_stages(config, self._run_id, self._check_model)
        calibration_file(config, stages.classifier.model.labels)
        before, after = self._pipeline.stages.detector.name, stages.detector.name
        if config.detector.backend == "auto" and (before, after) == ("blazeface", "haar"):
            raise DetectorUnavailable(
                f"detector: {' and '.join(blazeface_files(config.detector.range))} are not all in "
                f"{detector_folder(config)}, so only the Haar cascade could find faces; bring them "
                "back, or set detector.backend: haar."
            )

        def apply() -> None:
            self._unused, self._lossless = None, config.camera.lossless
            self.stills.adopt(still_parts(config, stages))
            self._calibrate_by(config, stages)
            self._pipeline.swap(stages)
            self._log_pause(stages)
            _log_model(stages)

        return apply

    def _event(self, kind: str, at: datetime, **fields: Any) -> Event:
        return self._pipeline.stages.maker.make(kind, at, **fields)

    def _log_pause(self, stages: Stages) -> None:
        """Log the beginning and end of a pause, in which nothing is recorded."""
        now_s = time.monotonic()
        if stages.paused and self._paused_s is None:
            self._paused_s = now_s
            self.log_event("pause_start", datetime.now(UTC))
        elif not stages.paused and self._paused_s is not None:
            lasted_s, self._paused_s = now_s - self._paused_s, None
            self.log_event("pause_end", datetime.now(UTC), duration_s=round(lasted_s, 3))

    def _calibrate_by(self, config: Config, stages: Stages) -> None:
        model = stages.classifier.model
        self.calibrator.use(calibration_file(config, model.labels), model)

    def _discard_unused(self) -> None:
        if self._unused is not None:
            self._unused.detector.close()
            self._unused = None


def _log_model(stages: Stages) -> None:
    model = stages.classifier.model
    log.info("model: %s (%s), sha256 %s", model.path, model.name, model.sha256[:12])
