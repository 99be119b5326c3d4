"""Tests how soon a face that appears in an empty room is shown, by the times of the frames."""

from __future__ import annotations

import statistics
import threading
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.composites import Composite, Setting, Source, composites, sources
from edge_daemon.config.schema import Config
from edge_daemon.core.frame import Picture, read_picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Frame, ImageBgr
from edge_daemon.events.feed import EventFeed
from edge_daemon.pipeline.build import build_stages
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.vision import schedule

FPS = 15
EMPTY = 20  # frames before somebody comes: the room is at rest


def sent(bgr: ImageBgr, noise: NDArray[np.int16]) -> Picture:
    """Return the picture as a camera sends it, with noise, as JPEG."""
    noisy = np.clip(bgr + noise, 0, 255).astype(np.uint8)
    return read_picture(cv2.imencode(".jpg", noisy)[1].tobytes(), reduced_pixels=10_000_000)


def shown_after_s(pipeline: Pipeline, made: Composite, empty: int, start_s: float) -> float:
    """Return the seconds from the face's first frame to its first view."""
    rng = np.random.default_rng(empty)
    noises = [rng.normal(0, 3, made.bgr.shape).astype(np.int16) for _ in range(3)]
    rooms = [sent(made.before, noise) for noise in noises]
    people = [sent(made.bgr, noise) for noise in noises]
    for number in range(empty + FPS):
        picture = (rooms if number < empty else people)[number % len(noises)]
        frame = Frame(number + 1, picture, start_s + number / FPS, datetime.now(UTC))
        if any(face.box.iou(made.face) > 0.3 for face in pipeline.process(frame).faces):
            return (number - empty) / FPS
    return 9.0


@pytest.fixture(scope="module")
def faces(media_dir: Path, blazeface_dir: Path) -> list[Source]:
    assert media_dir
    assert blazeface_dir
    return sources(every=30)


@pytest.mark.parametrize("face_px", [60, 140])
def test_a_face_in_an_empty_room_is_shown_within_half_a_second(
    face_px: int, faces: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a board that affords 15 searches a second, however busy this machine is."""
    monkeypatch.setattr(schedule, "search_interval", lambda search_s, period_s: 1)
    pipeline = Pipeline(
        frames=Latest(),
        views=Latest(),
        events=EventFeed([]),
        shots=Backlog(1),
        stages=build_stages(Config(), "test"),
        notice=lambda: "",
        blank_size=(640, 480),
        stop=threading.Event(),
    )
    delays_s = [
        shown_after_s(pipeline, made, EMPTY + phase, start_s=1000.0 * phase)
        for phase, made in enumerate(composites(faces, Setting(face_px), 6))
    ]
    assert max(delays_s) <= 0.5
    assert statistics.mean(delays_s) <= 0.3
