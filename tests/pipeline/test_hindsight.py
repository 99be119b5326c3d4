"""Tests videos as files: faces in short ones, slow ones, and in the first frames of any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.composites import Setting, composites, sources
from edge_daemon.config.schema import validated
from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Frame, ImageBgr, View
from edge_daemon.pipeline.build import build_file_pipeline, build_stages
from edge_daemon.pipeline.hindsight import Hindsight
from edge_daemon.pipeline.stages import Stages

CONFIG = validated({"camera": {"lossless": True}})


@pytest.fixture(scope="module")
def stages(blazeface_dir: Path) -> Stages:
    assert blazeface_dir
    return build_stages(CONFIG, "")


def frames_of(clip: Path) -> Iterator[ImageBgr]:
    video = cv2.VideoCapture(str(clip))
    while (read := video.read())[0]:
        yield np.asarray(read[1], np.uint8)


def views_of(pictures: Sequence[ImageBgr], fps: float, stages: Stages) -> list[View]:
    """Process a file of `pictures`, completed by hindsight."""
    pipeline, hindsight = build_file_pipeline(CONFIG, stages), Hindsight()
    views: list[View] = []
    for number, bgr in enumerate(pictures):
        frame = Frame(number + 1, Picture(bgr), number / fps, datetime.now(UTC))
        views += hindsight.put(pipeline.process(frame))
    return [*views, *hindsight.flush()]


@pytest.mark.parametrize("count", [1, 2, 12])
def test_a_short_clip_has_its_face_with_one_label(
    count: int, media_dir: Path, stages: Stages
) -> None:
    """Twelve frames are 0.4 s, less than a label takes to settle live."""
    pictures = list(islice(frames_of(media_dir / "signing-book.mkv"), count))
    views = views_of(pictures, 30, stages)
    assert [view.frame.id for view in views] == list(range(1, count + 1))
    assert all([face.id for face in view.faces] == [1] for view in views)
    (label,) = {face.label for view in views for face in view.faces}
    assert label


def test_the_first_frames_of_a_video_are_filled_in(media_dir: Path, stages: Stages) -> None:
    pictures = list(islice(frames_of(media_dir / "two-people-tilting.mp4"), 24))
    views = views_of(pictures, 12, stages)
    assert [view.frame.id for view in views] == list(range(1, 25))
    assert all({face.id for face in view.faces} == {1, 2} for view in views)
    assert all(face.label and face.scores for view in views for face in view.faces)


@pytest.mark.parametrize("fps", [0.2, 0.5, 2])
def test_a_time_lapse_has_a_face_in_every_frame(
    fps: float, media_dir: Path, stages: Stages
) -> None:
    pictures = list(islice(frames_of(media_dir / "signing-eat.mkv"), 0, 45, 9))
    views = views_of(pictures, fps, stages)
    assert all(len(view.faces) == 1 and view.faces[0].label for view in views)
    assert {face.id for view in views for face in view.faces} == {1}


def test_a_detection_in_a_single_frame_is_dropped(media_dir: Path, stages: Stages) -> None:
    (picture,) = islice(frames_of(media_dir / "signing-eat.mkv"), 1)
    empty = np.full_like(picture, 90)
    views = views_of([empty] * 3 + [picture] + [empty] * 40, 30, stages)
    assert not any(view.faces for view in views)


def test_every_face_of_a_file_is_classified(
    media_dir: Path, blazeface_dir: Path, stages: Stages
) -> None:
    """More faces than detector.max_faces, which limits live video only."""
    assert media_dir
    assert blazeface_dir
    tiles = [made.bgr for made in composites(sources(), Setting(90, 240, 240), 12)]
    rows = [np.hstack(tiles[row : row + 4]) for row in (0, 4, 8)]
    views = views_of([np.vstack(rows)] * 5, 15, stages)
    faces = views[-1].faces
    assert len(faces) >= 11 > CONFIG.detector.max_faces
    assert all(face.label and face.scores for face in faces)


def test_a_cut_to_another_person_ends_the_id(media_dir: Path, stages: Stages) -> None:
    first, second = (
        list(islice(frames_of(media_dir / name), 20))
        for name in ("signing-book.mkv", "signing-bird.mkv")
    )
    views = views_of(first + second, 30, stages)
    ids = [[face.id for face in view.faces] for view in views]
    assert ids == [[1]] * 20 + [[2]] * 20
