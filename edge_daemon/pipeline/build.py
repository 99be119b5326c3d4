"""Builds the stages of the frame path from the configuration."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2

from edge_daemon.config.file import ConfigError
from edge_daemon.config.schema import Config
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Drawing
from edge_daemon.draw.masks import Masks
from edge_daemon.events.build import log_file
from edge_daemon.events.events import EventMaker
from edge_daemon.events.feed import EventFeed
from edge_daemon.pipeline.calibration import NEUTRAL
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.pipeline.privacy import WEAK_SCORE
from edge_daemon.pipeline.stages import Stages
from edge_daemon.vision.classifier import Classifier, check_goldens
from edge_daemon.vision.detector import (
    SHIPPED_MODELS,
    Detector,
    blazeface_files,
    build_detector,
)
from edge_daemon.vision.model_file import ModelFile, read_model_file
from edge_daemon.vision.scene import MotionSensor, SceneCuts
from edge_daemon.vision.schedule import SearchSchedule
from edge_daemon.vision.smoothing import Smoother
from edge_daemon.vision.still import BuildParts
from edge_daemon.vision.tracker import CONFIRM_HITS, Tracker

STILL_FACES = 100  # classified in a single picture

log = logging.getLogger(__name__)


def build_stages(
    config: Config, run_id: str, check: Callable[[ModelFile, str], None] | None = None
) -> Stages:
    """Build the stages of `config`; events carry `run_id`.

    From then on, OpenCV uses one thread in the whole process: on pictures this small, waking a
    second one costs more than it saves. `check` is called with the model and the runtime before
    the model is loaded. Raises UserError, for instance if the model does not reproduce its golden
    answers here.
    """
    cv2.setNumThreads(1)
    model = read_model_file(Path(config.model))
    if check is not None:
        check(model, config.runtime)
    classifier = Classifier(model, runtime=config.runtime)
    goldens = check_goldens(classifier)
    min_score = config.detector.min_score
    detector = configured_detector(
        config, min(min_score, WEAK_SCORE) if config.privacy.blur_faces else min_score
    )
    log.info("goldens: %s", goldens)
    return _stages(config, run_id, detector, classifier)


def _stages(
    config: Config,
    run_id: str,
    detector: Detector,
    classifier: Classifier,
    *,
    hindsight: bool = False,
) -> Stages:
    """Build new stages around `detector` and `classifier`.

    With `hindsight`, which `Hindsight` needs, every detection is a face with a label at once, and
    every face is classified.
    """
    model = classifier.model
    return Stages(
        schedule=_schedule(config),
        cuts=SceneCuts(),
        motion=MotionSensor(),
        detector=detector,
        tracker=Tracker(
            max_age_s=config.tracker.max_age_s, confirm_hits=1 if hindsight else CONFIRM_HITS
        ),
        classifier=classifier,
        smoother=_smoother(config, model.labels, first_dwell_s=0.0 if hindsight else None),
        maker=EventMaker(
            labels=model.labels,
            common={
                "camera": config.camera.name,
                "run": run_id,
                "model": {"name": model.name, "sha256": model.sha256},
            },
            dwell_s=config.events.dwell_s,
            cooldown_s=config.events.cooldown_s,
            update_s=config.events.update_s,
        ),
        drawing=Drawing(
            labels=model.labels,
            quality=config.stream.quality,
            blur=config.privacy.blur_faces,
            show=config.privacy.stream,
        ),
        min_score=config.detector.min_score,
        max_faces=STILL_FACES if hindsight else config.detector.max_faces,
        min_face_px=config.detector.min_face_px,
        snapshot_types=frozenset(config.snapshots.types if config.snapshots.enabled else ()),
        masks=Masks(() if hindsight else config.privacy.masks),
        paused=config.privacy.pause,
        is_file=hindsight,
    )


def _schedule(config: Config) -> SearchSchedule:
    """Build the search schedule.

    Every frame is searched if faces are blurred, because a frame that was not searched must not be
    shown. Every frame of a lossless file is searched, because there is no frame rate to keep and
    runs must be repeatable.
    """
    chosen = config.detector.interval
    adapted = 1 if config.camera.lossless else None
    interval = adapted if chosen == "auto" else chosen
    return SearchSchedule(
        interval=1 if config.privacy.blur_faces else interval,
        max_gap_s=config.tracker.max_age_s / 2,
        idle_hz=config.detector.idle_hz,
    )


def _smoother(config: Config, labels: Sequence[str], *, first_dwell_s: float | None) -> Smoother:
    unknown = sorted(set(config.smoothing.label_min_scores) - set(labels))
    if unknown:
        raise ConfigError(
            f"smoothing.label_min_scores: {config.model} has no label {unknown[0]!r}; "
            f"its labels are {', '.join(labels)}."
        )
    return Smoother(
        labels=labels,
        half_life_s=config.smoothing.half_life_s,
        min_score=config.smoothing.min_score,
        label_min_scores=config.smoothing.label_min_scores,
        min_margin=config.smoothing.min_margin,
        hysteresis=config.smoothing.hysteresis,
        dwell_s=config.smoothing.dwell_s,
        first_dwell_s=first_dwell_s,
    )


def calibration_file(config: Config, labels: Sequence[str]) -> Path | None:
    """Return the file beside the event log that holds the calibration; None if it is off.

    Raises ConfigError if the model or the event log makes calibration impossible.
    """
    if not config.smoothing.calibration:
        return None
    if NEUTRAL not in labels:
        raise ConfigError(
            f"smoothing.calibration: {config.model} has no label {NEUTRAL!r}, so it knows no face "
            f"at rest; its labels are {', '.join(labels)}."
        )
    path = log_file(config)
    if path is None:
        raise ConfigError(
            "smoothing.calibration: the calibration is stored beside the event log; "
            "set events.path to a file."
        )
    return path.with_suffix(".calibration.json")


def configured_detector(config: Config, min_score: float, *, still: bool = False) -> Detector:
    """Build the configured detector, for video or for `still` pictures. Raises UserError."""
    return build_detector(
        config.detector.backend,
        models_dir=detector_folder(config),
        face_range=config.detector.range,
        min_score=min_score,
        reach=config.detector.reach,
        still=still,
        size=config.camera.picture_size,
        runtime=config.runtime,
    )


def detector_folder(config: Config) -> Path:
    """Return the folder of BlazeFace's files: the model's folder, else the shipped one."""
    beside = Path(config.model).parent
    files = blazeface_files(config.detector.range)
    return beside if all((beside / file).is_file() for file in files) else SHIPPED_MODELS


def still_parts(config: Config, stages: Stages) -> BuildParts:
    """Return a function that builds a second detector and classifier, for other threads."""
    model = stages.classifier.model
    return lambda: (
        configured_detector(config, config.detector.min_score, still=True),
        Classifier(model, runtime=config.runtime),
    )


def build_file_pipeline(config: Config, stages: Stages) -> Pipeline:
    """Build a pipeline for the frames of one file, with the detector and model of `stages`.

    It has no camera, logs no events and takes no snapshots; feed it with `Pipeline.process` and
    complete its views by `Hindsight`.
    """
    return Pipeline(
        frames=Latest(),
        views=Latest(),
        events=EventFeed([]),
        shots=Backlog(1),
        stages=_stages(config, "", stages.detector, stages.classifier, hindsight=True),
        notice=lambda: "",
        blank_size=config.camera.picture_size,
        stop=threading.Event(),
    )
