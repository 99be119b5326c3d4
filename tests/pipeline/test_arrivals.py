"""Tests how soon a face that appears in an empty room is shown, by the times of the frames."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.composites import Composite, Setting, Source, composites, sources
from edge_daemon.config.schema import Config
from edge_daemon.core.frame import Picture, read_picture
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import Frame, ImageBgr, View
from edge_daemon.events.feed import EventFeed
from edge_daemon.pipeline.build import build_stages
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.vision import schedule

FPS = 15
NEVER_S = 9.0
EMPTY = 20  # frames before somebody comes: the room is at rest


def sent(bgr: ImageBgr, noise: NDArray[np.int16]) -> Picture:
    """Return the picture as a camera sends it, with noise, as JPEG."""
    noisy = np.clip(bgr + noise, 0, 255).astype(np.uint8)
    return read_picture(cv2.imencode(".jpg", noisy)[1].tobytes(), reduced_pixels=10_000_000)


def played(pipeline: Pipeline, made: Composite, empty: int, start_s: float) -> Iterator[View]:
    """Yield the views of `empty` frames before the face appears, and of a second with it."""
    rng = np.random.default_rng(empty)
    noises = [rng.normal(0, 3, made.bgr.shape).astype(np.int16) for _ in range(3)]
    rooms = [sent(made.before, noise) for noise in noises]
    people = [sent(made.bgr, noise) for noise in noises]
    for number in range(empty + FPS):
        picture = (rooms if number < empty else people)[number % len(noises)]
        frame = Frame(number + 1, picture, start_s + number / FPS, datetime.now(UTC))
        yield pipeline.process(frame)


def shown_after_s(made: Composite, views: Iterator[View]) -> float:
    """Return the seconds of `views` until the face is shown."""
    for number, view in enumerate(views):
        if any(face.box.iou(made.face) > 0.3 for face in view.faces):
            return number / FPS
    return NEVER_S


@pytest.fixture(scope="module")
def faces(media_dir: Path, blazeface_dir: Path) -> list[Source]:
    assert media_dir
    assert blazeface_dir
    return sources(every=30)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Return a frame path of 15 searches a second, however busy this machine is."""
    monkeypatch.setattr(schedule, "search_interval", lambda search_s, period_s: 1)
    return Pipeline(
        frames=Latest(),
        views=Latest(),
        events=EventFeed([]),
        shots=Backlog(1),
        stages=build_stages(Config(), "test"),
        notice=lambda: "",
        blank_size=(640, 480),
        stop=threading.Event(),
    )


@pytest.mark.parametrize("face_px", [60, 140])
def test_a_face_in_an_empty_room_is_shown_within_half_a_second(
    face_px: int, faces: list[Source], pipeline: Pipeline
) -> None:
    delays_s = []
    for phase, made in enumerate(composites(faces, Setting(face_px), 6)):
        empty = EMPTY + phase
        views = played(pipeline, made, empty, start_s=1000.0 * phase)
        assert shown_after_s(made, islice(views, empty)) == NEVER_S
        delays_s.append(shown_after_s(made, views))
    assert max(delays_s) <= 0.5
    assert statistics.mean(delays_s) <= 0.3


@pytest.mark.parametrize("phase", range(4))
def test_a_face_beside_a_known_one_is_shown_within_half_a_second(
    phase: int, faces: list[Source], pipeline: Pipeline
) -> None:
    person, other = list(composites(faces, Setting(60, 320, 240), 2 + phase))[-2:]
    made = Composite(
        np.hstack([person.bgr, other.bgr]),
        other.face._replace(x=other.face.x + 320),
        np.hstack([person.bgr, other.before]),
    )
    empty = EMPTY + phase
    views = played(pipeline, made, empty, start_s=0.0)
    assert shown_after_s(made, islice(views, empty)) == NEVER_S
    assert shown_after_s(made, views) <= 0.5
