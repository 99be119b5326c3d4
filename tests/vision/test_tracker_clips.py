"""The tracker with the real detector: on every sample clip, behind a cover, and in passing.

Clips of two people passing are composed here of the sample clips, frame by frame: a person is cut
out by head and shoulders, and moved across the picture before or behind another.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Box, ImageBgr, Point, Track
from edge_daemon.vision.detector import Detector, build_detector
from edge_daemon.vision.plan import Hint
from edge_daemon.vision.scene import SceneCuts, thumbnail
from edge_daemon.vision.tracker import Tracker

PEOPLE = {
    "signing-again.mkv": 1,
    "signing-bird.mkv": 1,
    "signing-book.mkv": 1,
    "signing-eat.mkv": 1,
    "two-people-tilting.mp4": 2,
}
FPS = 15


@pytest.fixture(scope="module")
def detector(blazeface_dir: Path) -> Detector:
    return build_detector("blazeface", models_dir=blazeface_dir)


def frames_of(clip: Path) -> tuple[list[ImageBgr], float]:
    """Return every frame of `clip`, and its frames a second."""
    video = cv2.VideoCapture(str(clip))
    frames = []
    while (read := video.read())[0]:
        frames.append(np.asarray(read[1], np.uint8))
    return frames, video.get(cv2.CAP_PROP_FPS)


@pytest.mark.parametrize("clip", PEOPLE)
def test_every_person_in_a_clip_is_one_track(
    clip: str, media_dir: Path, detector: Detector
) -> None:
    frames, fps = frames_of(media_dir / clip)
    tracker = Tracker()
    counts, ids = [], set()
    for number, bgr in enumerate(frames):
        tracks = tracker.update(detector.detect(bgr), number / fps)
        counts.append(len(tracks))
        ids |= {track.id for track in tracks}
    assert len(ids) == PEOPLE[clip]
    assert counts.count(PEOPLE[clip]) >= 0.95 * len(frames)


@pytest.mark.parametrize(
    "clip", ["signing-again.mkv", "signing-book.mkv", "two-people-tilting.mp4"]
)
def test_faces_covered_for_a_second_keep_their_ids(
    clip: str, media_dir: Path, detector: Detector
) -> None:
    frames, fps = frames_of(media_dir / clip)
    tracker = Tracker()
    hidden = range(int(0.7 * fps), int(1.6 * fps))
    before: dict[int, Point] = {}
    for number, bgr in enumerate(frames):
        picture = np.full_like(bgr, 90) if number in hidden else bgr
        tracks = tracker.update(detector.detect(picture), number / fps)
        if number == hidden.start - 1:
            before = {track.id: track.box.center for track in tracks}
    assert all(track.seen for track in tracks)
    assert {track.id for track in tracks} == set(before)
    for track in tracks:
        nearest = min(before, key=lambda id_: abs(before[id_].x - track.box.center.x))
        assert nearest == track.id


@pytest.mark.parametrize("interval", [2, 3, 5])
def test_between_searches_the_tracker_knows_where_faces_are(
    interval: int, media_dir: Path, detector: Detector
) -> None:
    frames, fps = frames_of(media_dir / "two-people-tilting.mp4")
    tracker = Tracker(confirm_hits=1)
    overlaps = []
    for number, bgr in enumerate(frames):
        found = detector.detect(bgr)
        now_s = number / fps
        tracks = tracker.predict(now_s) if number % interval else tracker.update(found, now_s)
        overlaps += [max(face.box.iou(track.box) for track in tracks) for face in found]
    assert {track.id for track in tracks} == {1, 2}
    assert np.median(overlaps) > 0.8


class Person:
    """Somebody of a clip with 640×480 pixels, to be put into another picture, face first."""

    def __init__(self, clip: Path, detector: Detector) -> None:
        frames, fps = frames_of(clip)
        self._frames = frames[:: round(fps / FPS)]
        (face, *_) = detector.detect(self._frames[0])
        self.face = face.box
        self._mask = self._outline()[:, :, None]

    def _outline(self) -> np.ndarray:
        """1 where the person is, soft at the rim: an ellipse for the head, another for the body."""
        (x, y), side = self.face.center, self.face.w
        mask = np.zeros(self._frames[0].shape[:2], np.float32)
        head = (round(side * 0.72), round(side * 0.95))
        body = (round(side * 1.7), 480)
        cv2.ellipse(mask, (round(x), round(y - side * 0.1)), head, 0, 0, 360, 1.0, cv2.FILLED)
        cv2.ellipse(mask, (round(x), round(y + side) + 480), body, 0, 0, 360, 1.0, cv2.FILLED)
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), 3), np.float32)

    def moves(self) -> Iterator[ImageBgr]:
        """Return the clip's frames, forwards and backwards in turn."""
        return cycle([*self._frames, *self._frames[-2:0:-1]])

    def put(self, picture: np.ndarray, bgr: ImageBgr, face_at: Point) -> np.ndarray:
        """`picture` with the person of `bgr` before it, the face about `face_at`."""
        dx, dy = face_at.x - self.face.center.x, face_at.y - self.face.center.y
        shift = np.array([[1, 0, dx], [0, 1, dy]])
        size = (picture.shape[1], picture.shape[0])
        mask = np.asarray(cv2.warpAffine(self._mask, shift, size))[:, :, None]
        moved = cv2.warpAffine(bgr, shift, size, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(picture * (1 - mask) + moved * mask)


def passing(
    far: Person, near: Person, seconds: float
) -> Iterator[tuple[ImageBgr, tuple[Point, Point]]]:
    """Two people crossing the picture, the one behind the other; and where their faces are."""
    count = round(seconds * FPS)
    both = islice(zip(far.moves(), near.moves(), strict=False), count)
    for number, (behind, before) in enumerate(both):
        part = number / (count - 1)
        places = Point(90 + 460 * part, 130), Point(550 - 460 * part, 140)
        picture = far.put(np.full((480, 640, 3), 150, np.float32), behind, places[0])
        picture = near.put(picture, before, places[1])
        yield picture.astype(np.uint8), places


def whose(tracks: list[Track], places: tuple[Point, Point]) -> list[int]:
    """Return the ids of the tracks at `places`."""
    return [
        min(tracks, key=lambda t: abs(t.box.center.x - place.x) + abs(t.box.center.y - place.y)).id
        for place in places
    ]


@pytest.mark.parametrize("seconds", [3.0, 6.0])
@pytest.mark.parametrize(
    ("far", "near"),
    [
        ("signing-again.mkv", "signing-book.mkv"),
        ("signing-bird.mkv", "signing-eat.mkv"),
    ],
)
def test_two_people_who_pass_keep_their_ids(
    far: str, near: str, seconds: float, media_dir: Path, detector: Detector
) -> None:
    tracker, cuts = Tracker(), SceneCuts()
    found: list[list[Box]] = []
    owners = []
    for number, (bgr, places) in enumerate(
        passing(Person(media_dir / far, detector), Person(media_dir / near, detector), seconds)
    ):
        assert not cuts.is_cut(thumbnail(Picture(bgr)))
        now_s = number / FPS
        hint = Hint(number, tracker.known(now_s), tracker.has_lost)
        faces = detector.detect(bgr, hint)
        found.append([face.box for face in faces])
        tracks = tracker.update(faces, now_s)
        if len([track for track in tracks if track.seen]) == 2:
            owners.append(whose(tracks, places))
    assert min(len(boxes) for boxes in found) == 1, "nobody was ever hidden"
    assert owners[0] == owners[-1]
    assert sorted(owners[0]) == [1, 2]
    assert len(owners) >= 0.6 * len(found)
