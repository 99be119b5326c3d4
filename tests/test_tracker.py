"""The tracker: ids on made-up motion, and on every sample clip with the real detector."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.detector import build_detector
from edge_daemon.tracker import Tracker
from edge_daemon.types import Box, Detection, Eyes, Point, Track

FRAME_S = 0.1


def face_at(x: float, y: float = 100, side: float = 60, score: float = 0.9) -> Detection:
    """A face whose centre is `x`, `y`."""
    eyes = Eyes(Point(x - 12, y - 10), Point(x + 12, y - 10))
    return Detection(Box(x - side / 2, y - side / 2, side, side), score, eyes)


def follow(
    tracker: Tracker, frames: list[list[Detection]], *, start_s: float = 0.0
) -> list[list[Track]]:
    """The tracks after each of `frames`, FRAME_S apart."""
    return [tracker.update(faces, start_s + FRAME_S * i) for i, faces in enumerate(frames)]


def test_a_face_is_shown_once_it_is_confirmed() -> None:
    history = follow(Tracker(confirm_hits=3), [[face_at(100)]] * 4)
    assert [len(tracks) for tracks in history] == [0, 0, 1, 1]
    (track,) = history[-1]
    assert (track.id, track.seen) == (1, True)
    assert track.first_seen_s == 0
    assert track.last_seen_s == pytest.approx(0.3)
    assert (track.box, track.eyes, track.score) == (
        face_at(100).box,
        face_at(100).eyes,
        face_at(100).score,
    )


def test_a_face_is_shown_at_once_where_one_sighting_is_enough() -> None:
    assert Tracker(confirm_hits=1).update([face_at(100)], 5.0)


def test_a_flickering_detection_is_never_shown() -> None:
    steady, flicker = face_at(100), face_at(300, y=300)
    frames = [[steady, flicker] if i % 3 else [steady] for i in range(30)]
    history = follow(Tracker(), frames)
    assert {track.id for tracks in history for track in tracks} == {1}


def test_a_lost_face_is_predicted_and_found_again() -> None:
    tracker = Tracker(max_age_s=1.0)
    moving = [[face_at(100 + 10 * i)] for i in range(20)]
    history = follow(tracker, [*moving[:10], [], [], [], *moving[13:]])
    first, _, last = (tracks[0] for tracks in history[10:13])
    assert not first.seen
    assert first.last_seen_s == pytest.approx(0.9)
    assert first.box.centre.x == pytest.approx(200, abs=4)
    assert first.box.centre.x < last.box.centre.x < 231
    assert first.eyes is not None
    assert first.eyes.left.x - first.box.x == pytest.approx(18)
    assert [track.id for track in history[-1]] == [1]
    assert history[-1][0].seen


def test_a_face_lost_for_long_is_forgotten_and_comes_back_as_another() -> None:
    tracker = Tracker(max_age_s=1.0)
    follow(tracker, [[face_at(100)]] * 3)
    assert tracker.update([], 1.2)
    assert not tracker.update([], 1.3)
    history = follow(tracker, [[face_at(100)]] * 3, start_s=1.4)
    assert [track.id for track in history[-1]] == [2]


def test_a_pause_of_the_camera_ends_every_track() -> None:
    tracker = Tracker(max_age_s=1.0)
    follow(tracker, [[face_at(100)]] * 5)
    assert tracker.update([face_at(100)], 60.0) == []


def test_faces_that_cross_keep_their_ids() -> None:
    frames = [[face_at(100 + 12 * i, y=100), face_at(400 - 12 * i, y=130)] for i in range(25)]
    for backwards in (False, True):  # the order of the detections must not matter
        history = follow(Tracker(), [faces[::-1] if backwards else faces for faces in frames])
        x_of = [{track.id: track.box.centre.x for track in tracks} for tracks in history]
        rightward = min(x_of[2], key=lambda id_: x_of[2][id_])
        assert x_of[-1][rightward] > 350
        assert len({id_ for each in x_of for id_ in each}) == 2


def test_a_face_elsewhere_is_another_one() -> None:
    tracker = Tracker()
    follow(tracker, [[face_at(100)]] * 3)
    history = follow(tracker, [[face_at(250)]] * 3, start_s=0.3)
    assert [(track.id, track.seen) for track in history[-1]] == [(1, False), (2, True)]


def test_a_face_of_another_size_is_another_one() -> None:
    tracker = Tracker()
    follow(tracker, [[face_at(100, side=60)]] * 3)
    (track,) = tracker.update([face_at(100, side=200)], 0.3)
    assert not track.seen


def test_a_walker_is_followed_at_five_frames_a_second() -> None:
    tracker = Tracker()
    history = [tracker.update([face_at(40 + 35 * i)], 0.2 * i) for i in range(15)]
    assert [[track.id for track in tracks] for tracks in history[2:]] == [[1]] * 13


def test_two_updates_at_one_time_are_no_error() -> None:
    tracker = Tracker()
    for _ in range(4):
        tracks = tracker.update([face_at(100)], 1.0)
    assert [track.id for track in tracks] == [1]


@pytest.mark.parametrize(
    ("clip", "people"),
    [
        ("signing-again.mkv", 1),
        ("signing-bird.mkv", 1),
        ("signing-book.mkv", 1),
        ("signing-eat.mkv", 1),
        ("two-people-tilting.mp4", 2),
    ],
)
def test_every_person_in_a_clip_is_one_track(
    clip: str, people: int, media_dir: Path, blazeface_dir: Path
) -> None:
    detector = build_detector("blazeface", models_dir=blazeface_dir)
    tracker = Tracker()
    video = cv2.VideoCapture(str(media_dir / clip))
    frame_s = 1 / video.get(cv2.CAP_PROP_FPS)
    ids: set[int] = set()
    count = with_all = 0
    while (read := video.read())[0]:
        tracks = tracker.update(detector.detect(np.asarray(read[1], np.uint8)), count * frame_s)
        ids |= {track.id for track in tracks}
        count += 1
        with_all += len(tracks) == people
    assert len(ids) == people
    assert with_all >= 0.95 * count
