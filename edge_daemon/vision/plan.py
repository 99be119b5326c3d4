"""Plans which network searches which regions of a picture; pure functions.

Full-range BlazeFace finds faces from about 7 % to 50 % of a region's side, short-range from about
20 % to 100 %. Both find them better with some background around them (benchmarks/detection.md).
The whole picture is therefore searched by both. Smaller faces are found in overlapping tiles of a
half, a quarter and so on of its longer side; faces that fill the picture are found by padding it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from edge_daemon.core.types import Box, Eyes, Point
from edge_daemon.vision.blazeface import Region
from edge_daemon.vision.variant import FULL_PX, SQUARE, STRIDE, Shape

Network = Literal["full", "short"]
Reach = Literal["auto", "near", "far"]

SMALLEST: Final = 0.07  # of a region's side: faces that full-range finds reliably
LARGEST: Final = 0.5
OVERLAP: Final = 0.2  # of a tile's side that it shares with the next one
ROUNDING: Final = 1e-6  # of a float, which must not count as one more
FEWEST_STEPS: Final = 3  # of STRIDE, in a side of full-range's input
PADDING: Final = 2.0  # of the picture, for faces that fill it

# The smallest face searched for in a still picture: in pixels, or as a share of its longer side if
# that is more. In a panorama the longer side counts as at most PANORAMA times the shorter one.
STILL_FACE_PX: Final = 24
STILL_FACE: Final = 0.02
PANORAMA: Final = 2.0

AROUND: Final = 2.0  # side of the region around a known face, in sides of its box
CROPS: Final = 4  # regions around known faces in one search that also scans the whole picture
FEW: Final = 2  # up to this many known faces, each is searched for in the region around it


class Scan(NamedTuple):
    """One run of a network.

    With `is_tile`, faces cut by the region's border are dropped. With `is_known`, the region is
    around a known face. Detections in it win over those of other scans, so that a face's box does
    not jump between the networks.
    """

    network: Network
    region: Region
    is_tile: bool = False
    is_known: bool = False


class Known(NamedTuple):
    """The predicted box of a known face, and the tilt of its eyes in radians, clockwise.

    `is_sure` is True if the face is confirmed and the last search found it.
    """

    box: Box
    tilt: float = 0.0
    is_sure: bool = True

    @property
    def region(self) -> Region:
        """The region around the face."""
        return around(self.box, self.tilt)


class Hint(NamedTuple):
    """Knowledge from earlier frames of a video that guides a search.

    `turn` counts the searches. `known` are the faces that should be in the frame; `lost` is True if
    the last search missed one of them, `arrived` if one of them is new (where one person appears,
    others often follow). With `thorough` the frame is searched like a still picture. `idle` is True
    while no face is known and nothing moves. Without `others`, only known faces are searched for.
    """

    turn: int = 0
    known: Sequence[Known] = ()
    lost: bool = False
    arrived: bool = False
    thorough: bool = False
    idle: bool = False
    others: bool = True


NO_HINT: Final = Hint()


class Size(NamedTuple):
    """Width and height of a picture in pixels."""

    width: int
    height: int

    @property
    def longer(self) -> int:
        return max(self)


def fitted_shape(size: Size) -> Shape:
    """Return the smallest shape of full-range's input that sees the whole picture.

    It has a margin, so that two rows of tiles of half that size overlap by OVERLAP.
    """
    margin = 2 / (2 - OVERLAP)
    steps = [
        max(math.ceil(FULL_PX / STRIDE * margin * side / size.longer - ROUNDING), FEWEST_STEPS)
        for side in size
    ]
    return Shape(*(min(step * STRIDE / FULL_PX, 1.0) for step in steps))


def still_plan(size: Size, shape: Shape = SQUARE) -> list[Scan]:
    """Plan a thorough search of a still picture for upright faces."""
    smallest_px = max(STILL_FACE_PX, STILL_FACE * min(size.longer, PANORAMA * min(size)))
    level, scans = 0, whole_picture(size)
    while SMALLEST * size.longer / 2**level > smallest_px:
        level += 1
        scans += [Scan("full", tile, is_tile=True) for tile in tiles(size, level, shape)]
    return scans


def turned_plan(size: Size, angle: float) -> list[Scan]:
    """Plan a search of a still picture for faces turned by about `angle` radians."""
    turned = [Scan("full", tile._replace(angle=angle), is_tile=True) for tile in tiles(size, 1)]
    return whole_picture(size, angle) + turned


def whole_picture(size: Size, angle: float = 0.0) -> list[Scan]:
    """Plan scans of the whole picture for medium faces, large ones, and those that fill it."""
    whole = Region(_center(size), size.longer, angle)
    padded = whole._replace(side=PADDING * size.longer)
    return [Scan("full", whole), Scan("short", whole), Scan("short", padded)]


def tiles(size: Size, level: int, shape: Shape = SQUARE) -> list[Region]:
    """Cover the picture with overlapping tiles of 1/2^level of its longer side.

    `shape` is what full-range sees of each.
    """
    side = size.longer / 2**level
    return [
        Region(Point(x, y), side)
        for y in _positions(size.height, shape.height * side)
        for x in _positions(size.width, shape.width * side)
    ]


def live_plan(size: Size, hint: Hint, reach: Reach) -> list[Scan]:
    """Plan one search of a video.

    Up to FEW known faces are found again in the regions around them. This costs less than a scan of
    the whole picture and leaves time to search for other faces in some of the turns. While no face
    is known, or one is new or was lost, full-range, short-range and tiles take turns.
    """
    shape = fitted_shape(size)
    if hint.thorough:
        return still_plan(size, shape)
    follow = [Scan("short", each.region, is_known=True) for each in hint.known]
    if len(follow) > FEW:
        unsure = [each for each in hint.known if not each.is_sure]
        unfit = [each for each in hint.known if each.is_sure and not _fits_whole(each.box, size)]
        chosen = [*unsure, *_rotated(unfit, hint.turn)][:CROPS]
        follow = [Scan("short", each.region) for each in chosen]
        follow.append(whole_picture(size)[0])
    if hint.known and not (hint.lost or hint.others):
        return follow
    if hint.lost or hint.arrived or not hint.known:
        is_thrifty = hint.idle or (bool(hint.known) and not hint.lost)
        alert = _alert_search(hint.turn, size, shape, reach, idle=hint.idle, is_thrifty=is_thrifty)
        return list(dict.fromkeys(follow + alert))
    background = _background(hint.turn, size, shape, reach)
    if len(hint.known) == FEW and background == whole_picture(size)[:1]:
        # The background scan also finds these faces, so the longest search of two faces costs no
        # more than that of one.
        follow = [
            scan
            for scan, each in zip(follow, hint.known, strict=True)
            if not (each.is_sure and _fits_whole(each.box, size))
        ]
    return list(dict.fromkeys(follow + background))


def around(box: Box, angle: float = 0.0, factor: float = AROUND) -> Region:
    """Return the region around a face, `factor` times as large as its box."""
    return Region(box.center, factor * max(box.w, box.h), angle)


def tilt_of(eyes: Eyes | None) -> float:
    """Return the clockwise tilt of the eyes in radians; 0 if they are unknown."""
    if eyes is None:
        return 0.0
    (left_x, left_y), (right_x, right_y) = eyes
    return math.atan2(right_y - left_y, right_x - left_x)


def _alert_search(
    turn: int, size: Size, shape: Shape, reach: Reach, *, idle: bool, is_thrifty: bool
) -> list[Scan]:
    """Plan a search while faces may appear: the whole picture and tiles take turns.

    No turn has more than two full-range scans, so that none takes much longer than the others. In
    an `idle` room each turn has fewer tiles, because motion ends the idling anyway. With
    `is_thrifty` the networks also take turns on the whole picture.
    """
    full, short, padded = whole_picture(size)
    near = [short, padded][turn // (4 if is_thrifty else 2) % 2]
    if reach == "near":
        return [near if turn % 2 else full]
    if reach == "far":
        fine = _portion(tiles(size, 1, shape) + tiles(size, 2, shape), turn // 2, 6)
        return [Scan("full", tile, is_tile=True) for tile in fine] if turn % 2 else [full]
    if turn % 2:
        far = _portion(tiles(size, 1, shape), turn // 2, 6 if idle else 3)
        return [Scan("full", tile, is_tile=True) for tile in far]
    if not is_thrifty:
        return [full, near]
    return [near] if turn % 4 else [full]


def _background(turn: int, size: Size, shape: Shape, reach: Reach) -> list[Scan]:
    """Plan the scan for further faces while some are known; none in odd turns."""
    full, short, _ = whole_picture(size)
    if turn % 4 == 0:
        return [full]
    if turn % 2:
        return []
    if reach == "near" or (reach == "auto" and turn % 8 == 2):
        return [short]
    regions = tiles(size, 1, shape)
    return [
        Scan("full", regions[turn // (4 if reach == "far" else 8) % len(regions)], is_tile=True)
    ]


def _fits_whole(box: Box, size: Size) -> bool:
    """Return whether a full-range scan of the whole picture finds a face like `box`."""
    return SMALLEST * size.longer <= max(box.w, box.h) <= LARGEST * size.longer


def _portion(regions: Sequence[Region], turn: int, portions: int) -> list[Region]:
    """Return every `portions`th region; all are returned in `portions` successive turns."""
    return list(regions[turn % portions :: portions])


def _rotated(faces: Sequence[Known], turn: int) -> list[Known]:
    """Return `faces` starting at another one each turn, so that none is always left out."""
    first = turn % len(faces) if faces else 0
    return [*faces[first:], *faces[:first]]


def _positions(length: float, side: float) -> list[float]:
    """Return the centers of tiles of `side` that cover `length` evenly."""
    if length <= side:
        return [length / 2]
    count = math.ceil((length - side) / (side * (1 - OVERLAP)) - ROUNDING) + 1
    step = (length - side) / (count - 1)
    return [side / 2 + number * step for number in range(count)]


def _center(size: Size) -> Point:
    return Point(size.width / 2, size.height / 2)
