"""A camera under test with its slot, as a context manager."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.capture.camera import Camera
from edge_daemon.capture.opener import source_opener
from edge_daemon.capture.sources import OpenSource
from edge_daemon.core.slots import Latest
from edge_daemon.core.types import Frame
from support.waiting import until


def opener(source: str | int, *, loop: bool = False) -> OpenSource:
    return source_opener(source, width=320, height=240, fps=30.0, loop=loop, timeout_s=5.0)


class Bench:
    """A camera under test, the slot it fills and the failures it reports."""

    def __init__(
        self,
        open_source: OpenSource,
        *,
        timeout_s: float = 1.0,
        lossless: bool = False,
        rotate: int = 0,
        mirror: bool = False,
    ) -> None:
        self.frames: Latest[Frame] = Latest()
        self.failures: list[BaseException] = []
        self.outages: list[str] = []  # causes of losses, and "restored"
        self.camera = Camera(
            open_source=open_source,
            frames=self.frames,
            timeout_s=timeout_s,
            lossless=lossless,
            rotate=rotate,
            mirror=mirror,
            on_failure=self.failures.append,
            on_lost=lambda loss: self.outages.append(loss.cause),
            on_restored=lambda at, gone_s: self.outages.append("restored"),
        )

    def __enter__(self) -> Bench:
        self.camera.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.camera.stop()
        assert not self.failures

    def wait_for(self, state: str) -> str:
        """Wait until the camera is in `state` and return the reason."""
        until(lambda: self.camera.status.state == state)
        return self.camera.status.reason

    def take(self, count: int) -> list[Frame]:
        """Return the next `count` frames, or fewer if the source ends."""
        taken: list[Frame] = []
        seq, deadline_s = 0, time.monotonic() + 20
        while len(taken) < count and time.monotonic() < deadline_s:
            got = self.frames.get(after=seq, timeout_s=0.1)
            if got is not None:
                seq = got[0]
                taken.append(got[1])
            elif self.camera.status.state == "ended":
                break
        return taken


def write_images(folder: Path) -> Path:
    """Write three plain images, a damaged one, and a file that is not an image."""
    for number, value in ((1, 50), (2, 100), (4, 200)):
        plain = np.full((24, 32, 3), value, np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), plain)
    (folder / "3.jpg").write_bytes(b"not an image")
    (folder / "notes.txt").write_text("no image either")
    return folder
