"""Writes a clip in which people come and go, made of the clips of $MIEN_DATA."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import av
import cv2
import numpy as np

from benchmarks.clips import HEIGHT, WIDTH, clips, frames
from edge_daemon.core.types import ImageBgr

FPS: Final = 5
LENGTH_S: Final = 97  # no whole part of a minute or an hour: each of them begins elsewhere
NOISE: Final = 2.0  # standard deviation of a sensor's noise, of 255


class Visit(NamedTuple):
    """When a clip is shown, and in which half of the picture; the fifth fills it."""

    clip: int
    side: int
    begin_s: int
    end_s: int


# Two people come one after the other and meet; two come together.
VISITS: Final = (
    Visit(0, 0, 4, 16),
    Visit(2, 1, 10, 30),
    Visit(4, 0, 34, 55),
    Visit(1, 0, 61, 75),
    Visit(3, 1, 70, 88),
)


def write_visits(path: Path) -> None:
    """Write the clip: LENGTH_S seconds of 640×480 at FPS frames a second, as H.264."""
    paths = clips()
    room = np.asarray(cv2.GaussianBlur(next(frames(paths[:1])), (0, 0), 40), np.uint8)
    shown = [list(islice(frames([paths[visit.clip]]), 0, 600, 6)) for visit in VISITS]
    rng = np.random.default_rng(1)
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(LENGTH_S * FPS):
            bgr = room.copy()
            for visit, pictures in zip(VISITS, shown, strict=True):
                if visit.begin_s * FPS <= number < visit.end_s * FPS:
                    _show(bgr, pictures[number % len(pictures)], visit)
            noisy = bgr + rng.normal(0, NOISE, bgr.shape)
            picture = np.clip(noisy, 0, 255).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        file.mux(stream.encode(None))


def _show(bgr: ImageBgr, picture: ImageBgr, visit: Visit) -> None:
    """Put the middle half of `picture` on the visit's side, or all of a clip of two people."""
    if visit.clip == len(clips()) - 1:
        bgr[:] = picture
        return
    half = WIDTH // 2
    left = (WIDTH - half) // 2
    bgr[:, visit.side * half : (visit.side + 1) * half] = picture[:, left : left + half]
