"""The combined search: faces of any size, tilt and light, composed from the clips and FER2013."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.composites import Setting, Source, composite, composites, groups, sources
from edge_daemon.core.types import Detection, ImageBgr
from edge_daemon.vision.blazeface import BlazeFace, whole
from edge_daemon.vision.detector import BLAZEFACE_FILES, Detector, build_detector
from edge_daemon.vision.interpreter import Interpreter, ModelError
from edge_daemon.vision.plan import Hint, Size, around, fitted_shape
from edge_daemon.vision.search import NEAR_PX, SHORT_SHIFT, SHORT_SIZE
from edge_daemon.vision.tracker import Tracker
from edge_daemon.vision.variant import Shape

COUNT = 12


@pytest.fixture(scope="module")
def faces(media_dir: Path, blazeface_dir: Path) -> list[Source]:
    assert media_dir
    assert blazeface_dir
    return sources()


@pytest.fixture(scope="module")
def still(blazeface_dir: Path) -> Detector:
    return build_detector("blazeface", models_dir=blazeface_dir, still=True)


@pytest.fixture(scope="module")
def live(blazeface_dir: Path) -> Detector:
    return build_detector("blazeface", models_dir=blazeface_dir)


def faces_alone(faces: list[Source]) -> list[Source]:
    """Return the faces of people who are alone and upright, in the clips of 640×480."""
    return [source for source in faces if source.bgr.shape == (480, 640, 3)]


def tilt_of(found: Detection) -> float:
    """Return the tilt of the eyes in degrees, clockwise."""
    assert found.eyes is not None
    (x, y), (far_x, far_y) = found.eyes
    return math.degrees(math.atan2(far_y - y, far_x - x))


@pytest.mark.parametrize(
    "setting",
    [
        Setting(25),
        Setting(60),
        Setting(320),
        Setting(470),
        Setting(96, 1920, 1080),
        Setting(240, 4000, 3000),
        Setting(80, gain=0.15),
    ],
)
def test_a_still_gives_its_face_whatever_the_size(
    setting: Setting, faces: list[Source], still: Detector
) -> None:
    count = 3 if setting.width > 640 else COUNT
    for made in composites(faces, setting, count):
        assert any(found.box.iou(made.face) > 0.4 for found in still.detect(made.bgr))


@pytest.mark.parametrize("tilt", [-60, 60, 90, 180, 270])
def test_a_tilted_head_is_found_with_its_tilt(
    tilt: float, faces: list[Source], still: Detector
) -> None:
    errors = []
    for made in composites(faces_alone(faces), Setting(90, tilt=tilt), COUNT):
        found = [each for each in still.detect(made.bgr) if each.box.iou(made.face) > 0.3]
        assert found
        errors.append(abs((tilt_of(found[0]) - tilt + 180) % 360 - 180))
    assert np.median(errors) < 15


def fer2013_faces(folder: Path) -> Iterator[ImageBgr]:
    import csv
    import lzma

    with lzma.open(folder / "fer2013.csv.xz", "rt", newline="") as file:
        for row in islice(csv.DictReader(file), 0, 2000, 20):
            gray = np.array(row["pixels"].split(), np.uint8).reshape(48, 48)
            yield np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)


@pytest.mark.parametrize("border", [0, 24, 48])
def test_closely_cropped_faces_are_found_padded_or_not(
    border: int, fer2013_dir: Path, still: Detector
) -> None:
    pictures = list(fer2013_faces(fer2013_dir))
    padded = [
        np.pad(each, ((border, border), (border, border), (0, 0)), constant_values=128)
        for each in pictures
    ]
    assert sum(bool(still.detect(each)) for each in padded) >= 0.96 * len(pictures)


def test_thirty_people_are_all_found(faces: list[Source], still: Detector) -> None:
    rng = random.Random(4)
    picture = np.full((1440, 1920, 3), 110, np.uint8)
    for number, source in enumerate(rng.sample(faces, 30)):
        tile = composite(source, Setting(60, 320, 288), rng).bgr
        row, column = divmod(number, 6)
        picture[288 * row : 288 * row + 288, 320 * column : 320 * column + 320] = tile
    found = [each for each in still.detect(picture) if 40 < each.box.w < 90]
    assert len({(each.box.x // 320, each.box.y // 288) for each in found}) >= 28


def test_a_crowd_is_found_whole(faces: list[Source], still: Detector) -> None:
    """Where many faces share a tile, the network alone misses one of eight."""
    (crowd,) = islice(groups(faces, 40, 10, 4, (180, 200)), 1)
    found = still.detect(crowd.bgr)
    assert sum(any(each.box.iou(face) > 0.3 for each in found) for face in crowd.faces) >= 38
    assert len(found) <= 41


def test_pictures_without_faces_give_none(faces: list[Source], still: Detector) -> None:
    """The surroundings of the people, and noise of several kinds."""
    pictures = []
    for source in faces_alone(faces):
        left = round(source.face.x - source.face.w)
        bottom = round(source.face.y + 3 * source.face.h)
        pictures += [source.bgr[:, :left], source.bgr[bottom:]]
    rng = np.random.default_rng(1)
    for scale in (1, 4, 16, 60):
        coarse = rng.integers(0, 256, (480 // scale, 640 // scale, 3), dtype=np.uint8)
        pictures.append(np.asarray(cv2.resize(coarse, (640, 480)), np.uint8))
    usable = [np.ascontiguousarray(each) for each in pictures if min(each.shape[:2]) >= 64]
    assert len(usable) > 20
    assert sum(bool(still.detect(each)) for each in usable) == 0


def shown_after(live: Detector, bgr: ImageBgr, made_face: object, first_turn: int) -> int:
    """Return how many searches after it appeared the face is a track."""
    tracker = Tracker()
    for count in range(1, 31):
        now_s = count / 15
        hint = Hint(first_turn + count, tracker.known(now_s), tracker.has_lost)
        tracks = tracker.update(live.detect(bgr, hint), now_s)
        if any(track.box.iou(made_face) > 0.3 for track in tracks):  # type: ignore[arg-type]
            return count
    return 99


@pytest.mark.parametrize(
    ("setting", "searches"),
    [
        (Setting(25), 15),
        (Setting(320), 7),
        (Setting(440), 8),
        (Setting(96, 1920, 1080), 15),
        (Setting(80, tilt=-60), 15),
        (Setting(80, tilt=60), 15),
    ],
)
def test_live_a_close_face_is_soon_shown_and_a_far_one_within_a_second(
    setting: Setting, searches: int, faces: list[Source], live: Detector
) -> None:
    """At 15 searches a second, whichever turn it is."""
    made = list(composites(faces, setting, COUNT))
    counts = [shown_after(live, each.bgr, each.face, turn) for turn, each in enumerate(made)]
    assert sum(count <= searches for count in counts) >= 0.9 * len(made)


def test_live_a_classroom_of_four_has_four_ids_within_a_second(
    faces: list[Source], live: Detector
) -> None:
    """Two of the rooms have a face that only tiles find."""
    counts = []
    for room in islice(groups(faces, 60, 2, 2, (320, 240)), 6):
        tracker = Tracker()
        for turn in range(15):
            now_s = turn / 15
            hint = Hint(turn, tracker.known(now_s), tracker.has_lost, tracker.has_new(now_s))
            tracks = tracker.update(live.detect(room.bgr, hint), now_s)
        ids = [[each.id for each in tracks if each.box.iou(face) > 0.3] for face in room.faces]
        counts.append(sum(map(bool, ids)))
    assert counts == [4] * 6


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (480, 640)])
def test_a_fitted_network_finds_what_the_square_one_does(
    size: tuple[int, int], faces: list[Source], blazeface_dir: Path
) -> None:
    square = BlazeFace(Interpreter(blazeface_dir / BLAZEFACE_FILES["full"]))
    other = square.fitted(fitted_shape(Size(1000, 1000)))
    fitted = other.fitted(Shape(1, 0.5)).fitted(fitted_shape(Size(*size)))
    assert other is square
    assert fitted.shape != square.shape
    for made in composites(faces, Setting(min(size) // 4, *size), 8):
        one, same = (
            max(network.detect(made.bgr), key=lambda each: each.box.iou(made.face))
            for network in (square, fitted)
        )
        assert one.box.iou(same.box) > 0.7


def test_a_smaller_network_finds_what_the_whole_one_does(
    faces: list[Source], blazeface_dir: Path
) -> None:
    short = BlazeFace(Interpreter(blazeface_dir / BLAZEFACE_FILES["short"]))
    near, overlaps = short.smaller(NEAR_PX), []
    for source in faces:
        region = around(source.face)
        for one in short.search(source.bgr, region, most=1):
            (same,) = near.search(source.bgr, region, most=1)
            overlaps.append(one.box.iou(same.box))
    assert len(overlaps) > 0.9 * len(faces)
    assert np.median(overlaps) > 0.9
    assert min(overlaps) > 0.7


def test_a_file_that_cannot_be_fitted_is_named(blazeface_dir: Path) -> None:
    full, short = (
        BlazeFace(Interpreter(blazeface_dir / file)) for file in BLAZEFACE_FILES.values()
    )
    with pytest.raises(ModelError, match="not a BlazeFace model as MediaPipe has it"):
        short.fitted(Shape(1, 0.5))
    with pytest.raises(ModelError, match="not a BlazeFace model as MediaPipe has it"):
        full.smaller(NEAR_PX)


def test_live_pictures_may_change_their_size(faces: list[Source], live: Detector) -> None:
    for size in [(640, 480), (480, 640), (1280, 720), (640, 480)]:
        made = next(composites(faces, Setting(100, *size), 1))
        found = live.detect(made.bgr, Hint())
        assert [each.box.iou(made.face) > 0.3 for each in found] == [True]


def test_both_networks_frame_a_face_alike(faces: list[Source], blazeface_dir: Path) -> None:
    full, short = (
        BlazeFace(Interpreter(blazeface_dir / file)) for file in BLAZEFACE_FILES.values()
    )
    rows = []
    for source in faces[::2]:
        found = full.search(source.bgr, whole(source.bgr))
        wide = [each for each in found if each.box.iou(source.face) > 0.3]
        near = short.search(source.bgr, around(source.face, factor=3))
        if wide and near:
            one, other = near[0].box, wide[0].box
            rows.append(((one.center.y - other.center.y) / other.w, one.w / other.w))
    shift, size = np.median(rows, axis=0)
    assert shift == pytest.approx(SHORT_SHIFT, abs=0.02)
    assert size == pytest.approx(SHORT_SIZE, abs=0.03)


def test_a_box_does_not_jump_while_scans_take_turns(media_dir: Path, live: Detector) -> None:
    video = cv2.VideoCapture(str(media_dir / "signing-book.mkv"))
    tracker, boxes = Tracker(), []
    for turn in range(45):
        bgr = np.asarray(video.read()[1], np.uint8)
        now_s = turn / 30
        hint = Hint(turn, tracker.known(now_s), tracker.has_lost)
        boxes += [track.box for track in tracker.update(live.detect(bgr, hint), now_s)]
    overlaps = [one.iou(other) for one, other in pairwise(boxes[2:])]
    assert min(overlaps) > 0.75
