"""Tests the comparison of whole programs: its pictures, its camera and its tables."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.day_tables import (
    EMPTY,
    MODES,
    ONE,
    OURS,
    USTREAMER,
    Results,
    Row,
    cost_table,
    day_table,
)
from benchmarks.loopback_camera import loopback_camera
from benchmarks.peers import NOBODY, PASSED
from benchmarks.scenes import PICTURES, Mode, write_pictures
from edge_daemon.capture.jpeg_splitter import JpegSplitter
from edge_daemon.vision.detector import build_detector

SMALL = Mode(640, 480, 15)


@pytest.fixture(scope="module")
def pictures(
    media_dir: Path, blazeface_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    assert media_dir
    assert blazeface_dir
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, [SMALL])
    return folder


@pytest.mark.parametrize("faces", [0, 1, 4])
def test_a_scene_has_its_faces_in_every_picture(
    faces: int, pictures: Path, blazeface_dir: Path
) -> None:
    detector = build_detector("blazeface", models_dir=blazeface_dir, still=True)
    paths = sorted((pictures / f"{faces}-640x480").glob("*.jpg"))
    assert len(paths) == PICTURES
    for path in paths[::5]:
        bgr = np.asarray(cv2.imread(str(path)), np.uint8)
        assert len(detector.detect(bgr)) == faces


def played(url: str) -> Iterator[bytes]:
    splitter = JpegSplitter()
    with urllib.request.urlopen(url, timeout=10) as stream:
        while data := stream.read1(1 << 16):
            splitter.feed(data)
            while (jpeg := splitter.next()) is not None:
                yield jpeg


def test_the_camera_plays_the_pictures_there_and_back(pictures: Path) -> None:
    paths = [pictures / "1-640x480" / f"{number}.jpg" for number in range(PICTURES)]
    expected = [path.read_bytes() for path in [*paths, *paths[-2:0:-1], paths[0]]]
    with loopback_camera(pictures) as url:
        shown = [jpeg for jpeg, _ in zip(played(f"{url}/1-640x480/500"), expected, strict=False)]
    places = [expected.index(jpeg) for jpeg in shown]
    assert places[0] == 0
    assert all(jpeg in expected for jpeg in shown)


def row(program: str, scene: str, viewer: str, cpu_s: float, **more: float) -> list[Row]:
    known = {"program": program, "scene": scene, "viewer": viewer, "cpu_s": cpu_s, "took_s": 10.0}
    return [
        {**known, "mode": str(mode), "memory_mb": 100.0, "start_s": 0.5, **more} for mode in MODES
    ]


def test_a_day_is_22_hours_of_an_empty_room_and_2_of_a_face() -> None:
    results = Results([
        *row(OURS, EMPTY, NOBODY, 0.1, frames=150),
        *row(OURS, ONE, NOBODY, 1.0, frames=150),
        *row(USTREAMER, ONE, NOBODY, 0.05),
        *row(USTREAMER, ONE, PASSED, 0.1),
    ])  # fmt: skip
    table = day_table(results)
    assert "| 640×480@15, Mien | 25 | 1.00 × | 100 | 0.50 |" in table
    assert "| 640×480@15, ustreamer | 7 | 0.29 × |" in table


def test_a_cell_says_when_a_program_falls_behind() -> None:
    results = Results(row(OURS, ONE, NOBODY, 6.0, frames=100))
    assert "| Mien, no viewer |  | 36.00 (60.00), 10 frames a second |  |" in cost_table(
        results, SMALL
    )


def test_what_a_viewer_adds_is_compared_within_its_turn() -> None:
    rows = []
    for turn, (alone_s, watched_s) in enumerate([(5.0, 5.5), (8.0, 8.3), (6.0, 6.9)]):
        rows += row(OURS, ONE, NOBODY, alone_s, turn=turn)
        rows += row(OURS, ONE, PASSED, watched_s, turn=turn)
    assert Results(rows).more(OURS, SMALL, ONE, PASSED) == pytest.approx(0.05)
