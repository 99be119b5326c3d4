"""The tracker: ids on made-up motion, and on every sample clip with the real detector."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.core.types import Box, Detection, Eyes, Point, Track
from edge_daemon.vision.tracker import Tracker

FRAME_S = 0.1


def face_at(x: float, y: float = 100, side: float = 60, score: float = 0.9) -> Detection:
    """Return a face whose center is `x`, `y`."""
    eyes = Eyes(Point(x - 12, y - 10), Point(x + 12, y - 10))
    return Detection(Box(x - side / 2, y - side / 2, side, side), score, eyes)


def follow(
    tracker: Tracker, frames: list[list[Detection]], *, start_s: float = 0.0
) -> list[list[Track]]:
    """Return the tracks after each of `frames`, FRAME_S apart."""
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
    assert first.box.center.x == pytest.approx(200, abs=4)
    assert first.box.center.x < last.box.center.x < 231
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
        x_of = [{track.id: track.box.center.x for track in tracks} for tracks in history]
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


def test_asking_between_detections_changes_nothing() -> None:
    asked, left_alone = Tracker(), Tracker()
    for number in range(10):
        now_s = number * FRAME_S
        faces = [face_at(100 + 5 * number)]
        assert asked.update(faces, now_s) == left_alone.update(faces, now_s)
        (*tracks,) = asked.predict(now_s + FRAME_S / 2)
    (track,) = tracks
    assert not track.seen
    assert track.box.center.x == pytest.approx(147.5, abs=1)


def test_an_unconfirmed_face_outlives_the_frames_nobody_searched() -> None:
    tracker = Tracker(confirm_hits=3)
    for number in range(9):
        now_s = number * FRAME_S
        tracks = tracker.predict(now_s) if number % 4 else tracker.update([face_at(100)], now_s)
    assert [track.id for track in tracks] == [1]


@pytest.mark.parametrize("speed", [-120, -40, 0, 40, 120])
@pytest.mark.parametrize("hidden_s", [0.3, 1.0])
def test_a_walker_hidden_for_up_to_a_second_keeps_the_id(speed: float, hidden_s: float) -> None:
    noise = np.random.default_rng(3).normal(0, 1.5, 60)
    tracker = Tracker(max_age_s=1.0)
    for number in range(60):
        now_s = number / 15
        hidden = 2 < now_s < 2 + hidden_s
        walker = face_at(320 + speed * (now_s - 2) + noise[number])
        tracks = tracker.update([] if hidden else [walker], now_s)
    assert [(track.id, track.seen) for track in tracks] == [(1, True)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fps", [5, 15])
def test_passers_by_are_not_swapped(seed: int, fps: int) -> None:
    """When two people meet, the one behind is hidden while their faces overlap.

    At that moment the face may be either person's; before and after it is clear.
    """
    rng = np.random.default_rng(seed)
    speeds = rng.uniform(40, 110), -rng.uniform(40, 110)
    tracker = Tracker()
    whose: dict[int, set[int]] = {0: set(), 1: set()}
    for number in range(6 * fps):
        now_s = number / fps
        places = [320 + speed * (now_s - 3) for speed in speeds]
        faces = [face_at(x + rng.normal(0, 1.5), y=100 + rng.normal(0, 1.5)) for x in places]
        detected = faces[:1] if abs(places[0] - places[1]) < 30 else faces
        tracks = tracker.update(detected, now_s)
        for person, face in enumerate(faces if len(detected) == 2 else ()):
            whose[person] |= {track.id for track in tracks if track.box == face.box}
    assert sorted(map(len, whose.values())) == [1, 1]
    assert whose[0] != whose[1]


def test_a_box_half_covered_does_not_stop_its_face() -> None:
    tracker = Tracker()
    follow(tracker, [[face_at(100 + 10 * i, side=70)] for i in range(20)])
    tracker.update([face_at(280, side=50)], 2.0)  # only what is left of it is seen
    assert tracker.predict(2.5)[0].box.center.x > 310


def test_faces_in_a_row_move_on_together() -> None:
    frames = [[face_at(60 + 70 * k + 25 * i, side=60) for k in range(5)] for i in range(15)]
    history = follow(Tracker(), frames)
    order = [[t.id for t in sorted(tracks, key=lambda t: t.box.x)] for tracks in history[2:]]
    assert order == [order[0]] * len(order)


def test_equal_detections_give_equal_tracks() -> None:
    rng = np.random.default_rng(7)
    frames = [
        [face_at(*rng.uniform(0, 600, 2)) for _ in range(rng.integers(0, 5))] for _ in range(50)
    ]
    assert follow(Tracker(), frames) == follow(Tracker(), frames)
