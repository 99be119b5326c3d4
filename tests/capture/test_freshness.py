"""Tests the detection of silent and frozen cameras with an invented clock."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from edge_daemon.capture.freshness import Freshness
from edge_daemon.capture.sources import TimedImage
from edge_daemon.core.backoff import BackOff
from edge_daemon.core.frame import Picture


def picture(value: int) -> TimedImage:
    return TimedImage(Picture(np.full((4, 6, 3), value, np.uint8)))


class Asked(Freshness):
    """Asked for failures every fifth of a second, as by the capture thread."""

    asked_s = 100.0

    def failure(self, now_s: float) -> tuple[Literal["silent", "frozen"], str] | None:
        while self.asked_s < now_s - 0.2:
            self.asked_s += 0.2
            super().failure(self.asked_s)
        self.asked_s = now_s
        return super().failure(now_s)


def freshness(*, check_frozen: bool = True) -> Asked:
    fresh = Asked(timeout_s=2, open_timeout_s=15, check_frozen=check_frozen)
    fresh.opened(100)
    return fresh


def cause(fresh: Freshness, now_s: float) -> str | None:
    failure = fresh.failure(now_s)
    return failure[0] if failure else None


def test_the_first_picture_may_take_longer_than_the_next() -> None:
    fresh = freshness()
    assert cause(fresh, 114) is None
    assert fresh.failure(116) == ("silent", "was silent for 15 s")
    fresh.check(picture(1), 116, live=True)
    assert cause(fresh, 117.9) is None
    assert fresh.failure(118.1) == ("silent", "was silent for 2 s")


def test_a_camera_need_not_be_checked_before_it_can_fail() -> None:
    fresh = freshness()
    assert fresh.safe_s(101) == 14
    fresh.check(picture(1), 110, live=True)
    assert fresh.safe_s(111) == 1
    fresh.check(picture(1), 111, live=True)
    assert fresh.safe_s(111) == 1  # it may be frozen from then on
    assert cause(fresh, 112) is None
    assert cause(fresh, 112.1) == "frozen"
    assert fresh.safe_s(200) == 0


def test_a_picture_that_changes_is_fresh() -> None:
    fresh = freshness()
    for second in range(20):
        assert fresh.check(picture(second % 2), 100 + second, live=True)
        assert cause(fresh, 100 + second) is None
    assert fresh.steady_s == 19


def test_one_pixel_is_a_change() -> None:
    fresh = freshness()
    for second in range(20):
        image = picture(7)
        image.picture.bgr[2, 3, 1] = second % 2
        fresh.check(image, 100 + second, live=True)
        assert cause(fresh, 100 + second) is None


def frozen_at(second: float) -> Asked:
    """Return a camera that has been showing `picture(7)` for longer than it may."""
    fresh = freshness()
    for now_s in (second - 2.2, second - 1, second):
        assert fresh.check(picture(7), now_s, live=True)
    assert fresh.failure(second) == ("frozen", "has repeated one picture for 2 s")
    return fresh


def test_a_freeze_lasts_over_openings_until_the_picture_changes() -> None:
    fresh = frozen_at(110)
    fresh.opened(120)
    assert not fresh.check(picture(7), 121, live=True)
    assert cause(fresh, 122) is None  # each opening is given its time
    assert not fresh.check(picture(7), 123.5, live=True)
    assert cause(fresh, 123.5) == "frozen"
    assert fresh.steady_s == 0
    fresh.opened(130)
    assert not fresh.check(picture(7), 131, live=True)
    assert fresh.check(picture(8), 131.1, live=True)
    assert fresh.check(picture(7), 131.2, live=True)


def test_another_size_is_another_picture() -> None:
    fresh = frozen_at(110)
    fresh.opened(120)
    assert fresh.check(TimedImage(Picture(np.full((8, 6, 3), 7, np.uint8))), 121, live=True)


def test_the_same_picture_after_a_mere_silence_is_shown() -> None:
    fresh = freshness()
    fresh.check(picture(7), 101, live=True)
    assert cause(fresh, 104) == "silent"
    fresh.opened(105)
    assert fresh.check(picture(7), 106, live=True)


@pytest.mark.parametrize(("live", "check_frozen"), [(False, True), (True, False)])
def test_still_pictures_of_files_and_where_allowed_are_no_freeze(
    live: bool, check_frozen: bool
) -> None:
    fresh = freshness(check_frozen=check_frozen)
    for second in range(20):
        assert fresh.check(picture(7), 100 + second, live=live)
        assert cause(fresh, 100 + second) is None


def test_a_stream_with_timestamps_may_repeat_its_picture() -> None:
    """As H.264 does in a quiet room; it is frozen once its time stands still."""
    fresh, bgr = freshness(), picture(7).picture.bgr
    for second in range(20):
        assert fresh.check(TimedImage(Picture(bgr), float(second)), 100 + second, live=True)
        assert cause(fresh, 100 + second) is None
    assert fresh.steady_s == 19
    for now_s in (120.0, 121.0, 121.5):
        fresh.check(TimedImage(Picture(bgr), 19.0), now_s, live=True)
    assert cause(fresh, 121.5) == "frozen"
    assert not fresh.check(TimedImage(Picture(bgr), 19.0), 122, live=True)
    assert fresh.check(TimedImage(Picture(bgr), 20.0), 123, live=True)


def test_the_time_that_the_process_was_stopped_is_no_silence() -> None:
    fresh = Freshness(timeout_s=2, open_timeout_s=15, check_frozen=True)
    fresh.opened(100)
    fresh.check(picture(1), 100, live=True)
    assert fresh.failure(100.2) is None
    assert fresh.failure(400) is None
    assert fresh.failure(400.9) is None
    assert fresh.failure(401.8) is None
    assert cause(fresh, 402.5) == "silent"


def test_back_off_doubles_up_to_its_limit() -> None:
    back_off = BackOff(first_s=0.5, last_s=10)
    waits = [back_off.next_s() for _ in range(8)]
    for wait_s, middle_s in zip(waits, (0.5, 1, 2, 4, 8, 10, 10, 10), strict=True):
        assert 0.75 * middle_s <= wait_s <= 1.25 * middle_s
    back_off.reset()
    assert back_off.next_s() <= 0.625
    assert len({BackOff(first_s=1, last_s=2).next_s() for _ in range(5)}) > 1
