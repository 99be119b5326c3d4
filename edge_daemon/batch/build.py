"""Builds the reader of pictures and videos from the configuration."""

from __future__ import annotations

from edge_daemon.batch.reader import FileReader
from edge_daemon.config.schema import Config
from edge_daemon.pipeline.build import (
    STILL_FACES,
    build_file_pipeline,
    build_stages,
    configured_detector,
)
from edge_daemon.vision.plan import Hint
from edge_daemon.vision.still import StillReader


def build_reader(config: Config) -> FileReader:
    """Build a reader with the daemon's stages and settings. Raises UserError."""
    lossless = config.camera.model_copy(update={"lossless": True})
    no_pictures = config.snapshots.model_copy(update={"enabled": False})
    no_pause = config.privacy.model_copy(update={"pause": False})
    config = config.model_copy(
        update={"camera": lossless, "snapshots": no_pictures, "privacy": no_pause}
    )
    stages = build_stages(config, "")  # their detector also returns doubtful faces, to blur them
    still_detector = configured_detector(config, config.detector.min_score, still=True)

    def close() -> None:
        stages.detector.close()
        still_detector.close()

    return FileReader(
        drawing=stages.drawing,
        detect=lambda bgr: stages.detector.detect(bgr, Hint(thorough=True)),
        stills=StillReader(lambda: (still_detector, stages.classifier), max_faces=STILL_FACES),
        build_pipeline=lambda: build_file_pipeline(config, stages),
        close=close,
    )
