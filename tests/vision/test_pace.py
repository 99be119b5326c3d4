"""Which frames are searched: the arithmetic on made-up times, and the pace on made-up boards."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from edge_daemon.core.types import Frame
from edge_daemon.vision.schedule import LOAD, SEARCHES_HZ, Pace, interval_for

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BLANK = np.zeros((1, 1, 3), np.uint8)


def frame(number: int, captured_s: float) -> Frame:
    return Frame(number, BLANK, captured_s, NOW)


@pytest.mark.parametrize(
    ("look_s", "period_s", "interval"),
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
def test_the_interval_keeps_looking_within_its_share(
    look_s: float, period_s: float, interval: int
) -> None:
    assert interval_for(look_s, period_s) == interval


def test_no_shorter_interval_would_do() -> None:
    rng = np.random.default_rng(0)
    for look_s, period_s in zip(rng.uniform(0, 0.5, 200), rng.uniform(0.01, 0.2, 200), strict=True):
        interval = interval_for(look_s, period_s)
        assert look_s <= LOAD * interval * period_s + 1e-9
        enough = round(1 / (SEARCHES_HZ * period_s))
        assert interval <= max(enough, 1) or look_s > LOAD * (interval - 1) * period_s


def test_more_frames_than_enough_are_not_searched() -> None:
    pace = Pace(interval=None, max_gap_s=0.5)
    looked = searched(pace, look_s=0.005, fps=60, frames=60)
    assert np.diff(looked[2:]).tolist() == [4] * len(looked[3:])


def searched(pace: Pace, *, look_s: float, fps: float, frames: int) -> list[int]:
    """The numbers of the frames searched by a board that takes `look_s` for each."""
    looked = []
    for number in range(1, frames + 1):
        each = frame(number, number / fps)
        if pace.due(each):
            pace.looked(each, look_s)
            looked.append(number)
    return looked


def test_a_fixed_interval_is_kept_whatever_a_look_takes() -> None:
    pace = Pace(interval=3, max_gap_s=10)
    assert searched(pace, look_s=5, fps=15, frames=10) == [1, 4, 7, 10]


def test_a_fast_board_looks_at_every_frame() -> None:
    pace = Pace(interval=None, max_gap_s=0.5)
    assert searched(pace, look_s=0.01, fps=15, frames=20) == list(range(1, 21))
    assert pace.interval == 1


def test_a_slow_board_skips_as_many_as_it_must() -> None:
    pace = Pace(interval=None, max_gap_s=0.5)
    looked = searched(pace, look_s=0.095, fps=15, frames=60)
    assert pace.interval == 3
    assert np.diff(looked[2:]).tolist() == [3] * len(looked[3:])


def test_a_board_that_cannot_keep_up_still_looks_in_time() -> None:
    pace = Pace(interval=None, max_gap_s=0.45)
    looked = searched(pace, look_s=3.0, fps=10, frames=60)
    assert max(np.diff(looked)) == 5


def test_a_slow_camera_is_searched_at_every_frame() -> None:
    pace = Pace(interval=30, max_gap_s=0.5)
    assert searched(pace, look_s=0.01, fps=1, frames=5) == [1, 2, 3, 4, 5]


def test_the_first_slow_look_is_forgotten() -> None:
    pace = Pace(interval=None, max_gap_s=0.5)
    searched(pace, look_s=1.0, fps=15, frames=1)
    for number in range(2, 60):
        each = frame(number, number / 15)
        if pace.due(each):
            pace.looked(each, 0.01)
    assert pace.interval == 1


def test_frames_nobody_had_time_for_count() -> None:
    """The camera's rate is measured, not the rate at which frames are taken."""
    pace = Pace(interval=None, max_gap_s=10)
    for number in range(1, 100, 2):
        each = frame(number, number / 30)
        if pace.due(each):
            pace.looked(each, 0.05)
    assert pace.interval == interval_for(0.05, 1 / 30)


def test_it_recovers_when_the_board_does() -> None:
    pace = Pace(interval=None, max_gap_s=0.5)
    searched(pace, look_s=0.19, fps=15, frames=100)
    assert pace.interval == 6
    for number in range(101, 300):
        each = frame(number, number / 15)
        if pace.due(each):
            pace.looked(each, 0.01)
    assert pace.interval == 1
