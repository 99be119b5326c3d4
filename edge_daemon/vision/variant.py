"""Changes the input of the BlazeFace networks: another shape of full-range, a smaller short-range.

Both consist of convolutions, so they run on inputs of other sizes than their files'. A few
constants in the files depend on the size; they are changed in memory.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from edge_daemon.vision.interpreter import ModelError, Variant

FULL_PX: Final = 192  # side of full-range's input
STRIDE: Final = 32  # pixels of a cell of full-range's coarsest grid
LENGTHS: Final = {8: 8, 12: 3}  # of constants by their bytes: a tensor's in bytes, an option's not
UPSAMPLED: Final = (12, 24, 48)  # sides of the grids that full-range enlarges coarser ones to
SHORT_PX: Final = 128  # side of short-range's input

# The anchors of each network: for each grid, the pixels of a cell's side and the number of anchors
# in the center of each cell.
GRIDS: Final = {"full": ((4, 1),), "short": ((8, 2), (16, 6))}
VALUES = 16  # outputs per anchor: center, size and six keypoints, as x, y pairs


class Shape(NamedTuple):
    """Width and height of what a network sees, in shares of the region's side."""

    width: float = 1.0
    height: float = 1.0


SQUARE: Final = Shape()


def fitted_to(shape: Shape) -> Variant:
    """Return the variant of full-range for regions of `shape`, in steps of STRIDE.

    The sizes of the grids that it enlarges others to are the only constants that depend on it.
    Raises ModelError if the file has no such constants.
    """
    columns, rows = (round(share * FULL_PX) for share in shape)

    def variant(content: bytes) -> tuple[bytes, tuple[int, ...]]:
        for side in UPSAMPLED:
            grid = rows * side // FULL_PX, columns * side // FULL_PX
            content = _replaced(content, struct.pack("<2i", side, side), struct.pack("<2i", *grid))
        return content, (1, rows, columns, 3)

    return variant


def smaller_to(input_px: int) -> Variant:
    """Return the variant of short-range for an input of `input_px`, a multiple of 16.

    The numbers of anchors, to which it reshapes its outputs, are the only constants that depend on
    it. Raises ModelError if the file has no such constants.
    """

    def variant(content: bytes) -> tuple[bytes, tuple[int, ...]]:
        for cell_px, per_cell in GRIDS["short"]:
            old, new = (per_cell * (side // cell_px) ** 2 for side in (SHORT_PX, input_px))
            for values in (1, VALUES):
                shapes = (struct.pack("<3i", 1, count, values) for count in (old, new))
                content = _replaced(content, *shapes)
        return content, (1, input_px, input_px, 3)

    return variant


def _replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    """Replace the constant `old` by one as long; in the file its length comes before it."""
    before, after = (struct.pack("<i", LENGTHS[len(each)]) + each for each in (old, new))
    if content.count(before) != 1:
        raise ModelError(
            "not a BlazeFace model as MediaPipe has it: the constants that tell the size of its "
            "grids are missing"
        )
    return content.replace(before, after)
