"""The plans of a search: which regions are covered, and when."""

from __future__ import annotations

from typing import Literal

import pytest

from edge_daemon.core.types import Box
from edge_daemon.vision.blazeface import Region
from edge_daemon.vision.plan import (
    OVERLAP,
    SMALLEST,
    Hint,
    Known,
    Scan,
    Size,
    fitted_shape,
    live_plan,
    still_plan,
    tiles,
    whole_picture,
)
from edge_daemon.vision.variant import SQUARE, Shape

VGA = Size(640, 480)
SIZES = [VGA, Size(1920, 1080), Size(1080, 1920), Size(3000, 400)]
FACE = Box(300, 200, 80, 80)


TILES = set(tiles(VGA, 1, fitted_shape(VGA)))


def covers(region: Region, box: Box, shape: Shape = SQUARE) -> bool:
    width, height = shape.width * region.side, shape.height * region.side
    left, top = region.center.x - width / 2, region.center.y - height / 2
    right, bottom = left + width, top + height
    return left <= box.x and top <= box.y and box.x + box.w <= right and box.y + box.h <= bottom


@pytest.mark.parametrize("is_fitted", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_face_that_a_tile_is_for_lies_whole_in_one(
    size: Size, level: int, *, is_fitted: bool
) -> None:
    shape = fitted_shape(size) if is_fitted else SQUARE
    regions = tiles(size, level, shape)
    side = OVERLAP * min(shape) * size.longer / 2**level * 0.99
    for part_x in (0.0, 0.2, 0.37, 0.5, 0.81, 1.0):
        for part_y in (0.0, 0.3, 0.55, 1.0):
            place = part_x * (size.width - side), part_y * (size.height - side)
            assert any(covers(each, Box(*place, side, side), shape) for each in regions)


@pytest.mark.parametrize("size", [*SIZES, Size(480, 480), Size(1280, 1024)])
def test_a_fitted_scan_sees_the_whole_picture(size: Size) -> None:
    shape = fitted_shape(size)
    assert covers(whole_picture(size)[0].region, Box(0, 0, *size), shape)
    assert all((192 * share) % 32 == 0 for share in shape)


@pytest.mark.parametrize(
    ("size", "smallest_px"),
    [(VGA, 24), (Size(1280, 720), 25.6), (Size(4000, 3000), 80), (Size(12_000, 2000), 80)],
)
def test_a_still_is_searched_down_to_its_smallest_faces(size: Size, smallest_px: float) -> None:
    sides = [scan.region.side for scan in still_plan(size) if scan.network == "full"]
    assert SMALLEST * min(sides) <= smallest_px
    assert SMALLEST * min(sides) > smallest_px / 4


def regions_of(reach: Literal["auto", "near", "far"], turns: int) -> list[Scan]:
    return [scan for turn in range(turns) for scan in live_plan(VGA, Hint(turn), reach)]


@pytest.mark.parametrize("reach", ["auto", "far"])
def test_without_a_face_all_tiles_are_searched_within_half_a_second(
    reach: Literal["auto", "far"],
) -> None:
    searched = {scan.region for scan in regions_of(reach, turns=8)}
    assert searched >= TILES or reach == "far"
    assert {scan.region for scan in regions_of(reach, turns=12)} >= TILES


@pytest.mark.parametrize("reach", ["auto", "near"])
def test_without_a_face_close_ones_are_looked_for_every_quarter_of_a_second(
    reach: Literal["auto", "near"],
) -> None:
    for first in range(8):
        plans = [live_plan(VGA, Hint(turn), reach) for turn in range(first, first + 4)]
        assert any(scan.network == "short" for plan in plans for scan in plan)


def test_a_room_at_rest_is_searched_by_both_networks_and_in_every_tile() -> None:
    plans = [live_plan(VGA, Hint(turn, idle=True), "auto") for turn in range(12)]
    scans = {scan for plan in plans for scan in plan}
    assert all(len(plan) == 1 for plan in plans)
    assert {scan.region for scan in scans} >= TILES
    assert set(whole_picture(VGA)) <= scans


def test_known_faces_alone_are_followed_between_turns() -> None:
    known = [Known(FACE)]
    assert [scan.is_known for scan in live_plan(VGA, Hint(0, known, others=False), "auto")] == [
        True
    ]
    assert len(live_plan(VGA, Hint(0, known, lost=True, others=False), "auto")) > 1
    assert live_plan(VGA, Hint(0, others=False), "auto")


def test_near_searches_no_tile() -> None:
    assert not any(scan.is_tile for scan in regions_of("near", turns=16))


def test_a_known_face_is_found_again_in_every_search() -> None:
    for turn in range(16):
        plan = live_plan(VGA, Hint(turn, [Known(FACE)]), "auto")
        assert any(scan.is_known and covers(scan.region, FACE) for scan in plan)
        assert len(plan) <= 2


@pytest.mark.parametrize("count", [1, 2, 6])
def test_others_are_looked_for_while_faces_are_known(count: int) -> None:
    known = [Known(FACE._replace(x=90.0 * number)) for number in range(count)]
    scans = [scan for turn in range(48) for scan in live_plan(VGA, Hint(turn, known), "auto")]
    assert {scan.region for scan in scans} >= TILES
    whole = [scan for scan in scans if scan.region.side == VGA.longer]
    assert {scan.network for scan in whole} == {"full", "short"}


def test_a_lost_face_brings_back_the_thorough_turns() -> None:
    plans = [live_plan(VGA, Hint(turn, [Known(FACE)], lost=True), "auto") for turn in range(8)]
    assert {scan.region for plan in plans for scan in plan} >= TILES


def test_a_new_face_brings_the_thorough_turns() -> None:
    """Where one person appears, others often do."""
    plans = [live_plan(VGA, Hint(turn, [Known(FACE)], arrived=True), "auto") for turn in range(8)]
    assert {scan.region for plan in plans for scan in plan} >= TILES


def test_of_many_faces_those_that_were_missed_are_looked_for_first() -> None:
    """The scan of the whole picture may miss them at any size."""
    known = [Known(FACE._replace(x=90.0 * number), is_sure=number != 5) for number in range(6)]
    for turn in range(8):
        plan = live_plan(VGA, Hint(turn, known), "auto")
        assert known[5].region in [scan.region for scan in plan if scan.network == "short"]
        assert len(plan) == len(set(plan))


def test_frames_far_apart_are_searched_like_stills() -> None:
    plan = live_plan(VGA, Hint(3, [Known(FACE)], thorough=True), "auto")
    assert plan == still_plan(VGA, fitted_shape(VGA))


def test_many_small_faces_take_turns() -> None:
    known = [Known(Box(60.0 * number, 100, 30, 30)) for number in range(10)]
    plans = [live_plan(VGA, Hint(turn, known), "auto") for turn in range(10)]
    assert all(len(plan) <= 6 for plan in plans)
    for each in known:
        assert any(
            covers(scan.region, each.box) for plan in plans for scan in plan if not scan.is_tile
        )
