"""The thread that reads a source: which pictures it publishes itself, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.capture.reader import Reader
from edge_daemon.capture.sources import TimedImage
from edge_daemon.core.frame import Picture


class Numbered:
    """A source of ten pictures, which have their number as time."""

    name, fps, mode = "numbered", None, ""

    def __init__(self) -> None:
        self._next = 0

    def read(self) -> TimedImage | None:
        self._next += 1
        bgr = np.zeros((2, 2, 3), np.uint8)
        return TimedImage(Picture(bgr), self._next) if self._next <= 10 else None

    def close(self) -> None:
        pass


def taken_until_the_end(reader: Reader, handled: list[float | None]) -> None:
    """Handle what `next` returns, until the source has ended."""
    with pytest.raises(EOFError):
        while True:
            if (image := reader.next(10)) is not None:
                handled.append(image.time_s)


def test_pictures_keep_their_order_whoever_handles_them() -> None:
    handled: list[float | None] = []

    def publish(_: Reader, image: TimedImage) -> bool:
        is_odd = int(image.time_s or 0) % 2 == 1
        if is_odd:
            handled.append(image.time_s)
        return is_odd

    taken_until_the_end(Reader(Numbered, publish), handled)
    assert handled == list(range(1, 11))


def test_a_reader_that_is_woken_returns_no_picture() -> None:
    handled: list[float | None] = []
    reader = Reader(Numbered)
    reader.wake()
    taken_until_the_end(reader, handled)
    assert handled == list(range(1, 11))
