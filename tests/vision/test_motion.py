"""Compares the filter of a face's motion with expected results on made-up paths."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.core.types import Point
from edge_daemon.vision.motion import PLACE_NOISE, Motion, initial_motion

WIDTH = 60.0


def walked(speed: float, frames: int, fps: float, noise_px: float = 0.0) -> Motion:
    """Return the motion of a face after `frames` sightings."""
    noise = np.random.default_rng(1).normal(0, noise_px, (frames, 2)) if noise_px else None
    motion = initial_motion(Point(100, 100), WIDTH)
    for number in range(1, frames):
        dx, dy = noise[number] if noise is not None else (0.0, 0.0)
        place = Point(100 + speed * number / fps + dx, 100 + dy)
        motion = motion.predicted(1 / fps).corrected(place, WIDTH)
    return motion


@pytest.mark.parametrize("fps", [5, 15, 30])
@pytest.mark.parametrize("speed", [-150, 0, 60])
def test_a_steady_walk_is_learned(speed: float, fps: float) -> None:
    motion = walked(speed, int(2 * fps), fps)
    assert motion.velocity == pytest.approx((speed, 0), abs=0.03 * abs(speed) + 1e-6)
    ahead = motion.predicted(0.5)
    assert ahead.place.x - motion.place.x == pytest.approx(motion.velocity.x * 0.5)


def test_one_long_step_is_as_unsure_as_many_short_ones() -> None:
    motion = walked(50, 10, 15)
    once, often = motion.predicted(0.6), motion
    for _ in range(6):
        often = often.predicted(0.1)
    assert often.spread == pytest.approx(once.spread)
    assert often.velocity_var == pytest.approx(once.velocity_var)
    assert often.place == pytest.approx(once.place)


def test_doubt_grows_unseen_and_shrinks_when_seen() -> None:
    motion = walked(50, 30, 15)
    unseen = motion.predicted(1.0)
    assert unseen.spread > 5 * motion.spread
    assert unseen.corrected(unseen.place, WIDTH).spread < PLACE_NOISE * WIDTH


def test_noise_is_smoothed() -> None:
    motion = walked(0, 60, 15, noise_px=2)
    assert abs(motion.velocity.x) < 15
    assert motion.place == pytest.approx((100, 100), abs=3)


def test_a_box_of_another_width_counts_less() -> None:
    motion = walked(50, 30, 15).predicted(0.1)
    off = Point(motion.place.x - 15, motion.place.y)
    whole, half = motion.corrected(off, WIDTH), motion.corrected(off, 0.7 * WIDTH)
    assert half.velocity.x > whole.velocity.x
    assert half.place.x > whole.place.x


def test_no_time_passing_changes_nothing() -> None:
    motion = walked(50, 30, 15)
    assert motion.predicted(0.0) == motion
