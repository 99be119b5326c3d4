"""The search schedule: its arithmetic, and which frames it picks on simulated boards."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from operator import lt

import numpy as np
import pytest

from edge_daemon.core.frame import Picture
from edge_daemon.core.types import Frame
from edge_daemon.vision.schedule import LOAD, SEARCHES_HZ, SearchSchedule, search_interval

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BLANK = np.zeros((1, 1, 3), np.uint8)


def frame(number: int, captured_s: float) -> Frame:
    return Frame(number, Picture(BLANK), captured_s, NOW)


@pytest.mark.parametrize(
    ("search_s", "period_s", "interval"),
    [
        (0.000, 1 / 15, 1),
        (0.008, 1 / 15, 1),
        (0.033, 1 / 15, 1),
        (0.034, 1 / 15, 2),
        (0.100, 1 / 15, 3),
        (0.100, 1 / 30, 6),
        (0.005, 1 / 20, 1),
        (0.005, 1 / 25, 2),
        (0.005, 1 / 30, 2),
        (0.005, 1 / 60, 4),
        (0.100, 1.0, 1),
        (5.000, 1 / 30, 300),
        (0.100, 0.0, 1),  # two frames at one time say nothing
    ],
)
def test_the_interval_keeps_searches_within_their_share(
    search_s: float, period_s: float, interval: int
) -> None:
    assert search_interval(search_s, period_s) == interval


def test_no_shorter_interval_would_do() -> None:
    rng = np.random.default_rng(0)
    for search_s, period_s in zip(
        rng.uniform(0, 0.5, 200), rng.uniform(0.01, 0.2, 200), strict=True
    ):
        interval = search_interval(search_s, period_s)
        assert search_s <= LOAD * interval * period_s + 1e-9
        enough = round(1 / (SEARCHES_HZ * period_s))
        assert interval <= max(enough, 1) or search_s > LOAD * (interval - 1) * period_s


def test_more_frames_than_enough_are_not_searched() -> None:
    schedule = SearchSchedule(interval=None, max_gap_s=0.5)
    numbers = searched(schedule, search_s=0.005, fps=60, frames=60)
    assert np.diff(numbers[2:]).tolist() == [4] * len(numbers[3:])


def searched(schedule: SearchSchedule, *, search_s: float, fps: float, frames: int) -> list[int]:
    """Return the numbers of the frames searched by a board that takes `search_s` for each."""
    numbers = []
    for number in range(1, frames + 1):
        each = frame(number, number / fps)
        if schedule.due(each):
            schedule.searched(each, search_s)
            numbers.append(number)
    return numbers


def test_a_fixed_interval_is_kept_whatever_a_search_takes() -> None:
    schedule = SearchSchedule(interval=3, max_gap_s=10)
    assert searched(schedule, search_s=5, fps=15, frames=10) == [1, 4, 7, 10]


def test_a_fast_board_searches_every_frame() -> None:
    schedule = SearchSchedule(interval=None, max_gap_s=0.5)
    assert searched(schedule, search_s=0.01, fps=15, frames=20) == list(range(1, 21))
    assert schedule.interval == 1


def test_a_slow_board_skips_as_many_as_it_must() -> None:
    schedule = SearchSchedule(interval=None, max_gap_s=0.5)
    numbers = searched(schedule, search_s=0.095, fps=15, frames=60)
    assert schedule.interval == 3
    assert np.diff(numbers[2:]).tolist() == [3] * len(numbers[3:])


def test_a_board_that_cannot_keep_up_still_searches_in_time() -> None:
    schedule = SearchSchedule(interval=None, max_gap_s=0.45)
    numbers = searched(schedule, search_s=3.0, fps=10, frames=60)
    assert max(np.diff(numbers)) == 5


def test_a_slow_camera_is_searched_at_every_frame() -> None:
    schedule = SearchSchedule(interval=30, max_gap_s=0.5)
    assert searched(schedule, search_s=0.01, fps=1, frames=5) == [1, 2, 3, 4, 5]


def test_a_slow_first_search_is_forgotten() -> None:
    schedule = SearchSchedule(interval=None, max_gap_s=0.5)
    searched(schedule, search_s=1.0, fps=15, frames=1)
    for number in range(2, 60):
        each = frame(number, number / 15)
        if schedule.due(each):
            schedule.searched(each, 0.01)
    assert schedule.interval == 1


def test_dropped_frames_count() -> None:
    """The camera's rate is measured, not the rate at which frames are taken."""
    schedule = SearchSchedule(interval=None, max_gap_s=10)
    for number in range(1, 100, 2):
        each = frame(number, number / 30)
        if schedule.due(each):
            schedule.searched(each, 0.05)
    assert schedule.interval == search_interval(0.05, 1 / 30)


def test_it_recovers_when_the_board_does() -> None:
    schedule = SearchSchedule(interval=None, max_gap_s=0.5)
    searched(schedule, search_s=0.19, fps=15, frames=100)
    assert schedule.interval == 6
    for number in range(101, 300):
        each = frame(number, number / 15)
        if schedule.due(each):
            schedule.searched(each, 0.01)
    assert schedule.interval == 1


def test_an_empty_room_is_searched_less_often_until_it_is_no_longer_idle() -> None:
    schedule = SearchSchedule(interval=None, max_gap_s=0.5, idle_hz=5)
    numbers = []
    for number in range(1, 61):
        each = frame(number, number / 15)
        if schedule.due(each, partial(lt, number, 46)):
            schedule.searched(each, 0.005)
            numbers.append(number)
    assert np.diff([each for each in numbers if each < 46]).tolist() == [3] * 14
    assert numbers[-15:] == list(range(46, 61))


def test_a_chosen_interval_knows_no_idling() -> None:
    schedule = SearchSchedule(interval=1, max_gap_s=0.5, idle_hz=5)
    assert all(schedule.due(frame(n, n / 15), lambda: True) for n in range(5))


@pytest.mark.parametrize(("fps", "turns"), [(15, 30), (20, 40), (30, 30), (60, 40)])
def test_new_faces_are_looked_for_15_to_20_times_a_second(fps: int, turns: int) -> None:
    schedule = SearchSchedule(interval=1, max_gap_s=0.5)
    for number in range(2 * fps):
        each = frame(number + 1, 100 + number / fps)
        assert schedule.due(each)
        schedule.searched(each, 0.005)
    assert schedule.turns == turns
    assert schedule.searches == 2 * fps
