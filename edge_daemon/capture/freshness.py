"""Freshness: pictures and the time in, whether the camera has fallen silent or frozen out.

`VideoCapture.read()` blocks, or says True with an old picture, after a camera has died. So a
camera is judged by new content on our own clock. One that hangs often repeats its last picture;
no sensor gives the same picture twice, because of its noise, so that equality to the last bit is
what tells a frozen camera from an empty room.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from edge_daemon.core.types import ImageBgr


class Freshness:
    """Judges one opening of a source after the other; keeps the last picture in between.

    `timeout_s` without a picture is silence; the first picture may take `open_timeout_s`. With
    `check_frozen`, a live source whose picture stays the same for `timeout_s` is frozen, and
    remains so in its next openings until the picture changes.
    """

    def __init__(self, *, timeout_s: float, open_timeout_s: float, check_frozen: bool) -> None:
        self._timeout_s = timeout_s
        self._open_timeout_s = max(open_timeout_s, timeout_s)
        self._check_frozen = check_frozen
        self._last: ImageBgr | None = None
        self._frozen = False
        self.opened(0.0)

    def opened(self, now_s: float) -> None:
        """A new opening begins."""
        self._patience_s = self._open_timeout_s
        self._heard_s = now_s
        self._first_s: float | None = None
        self._fresh_s = now_s
        self._repeats = False

    def picture(self, bgr: ImageBgr, now_s: float, *, live: bool) -> bool:
        """A picture came; whether it is worth showing: not while a freeze goes on."""
        self.heard(now_s)
        self._repeats = live and self._check_frozen and self._same(bgr)
        if not self._repeats:
            self._last, self._frozen = bgr, False
        if not self._repeats or self._first_s is None:
            self._fresh_s = now_s
        if self._first_s is None:
            self._first_s = now_s
        return not self._frozen

    def heard(self, now_s: float) -> None:
        """The silence, if there was one, ends here; whoever was busy meanwhile says so too."""
        self._heard_s, self._patience_s = now_s, self._timeout_s

    def verdict(self, now_s: float) -> tuple[Literal["silent", "frozen"], str] | None:
        """What is wrong with the source, as a cause and in words; None while all is well."""
        if now_s - self._heard_s > self._patience_s:
            return "silent", f"was silent for {self._patience_s:g} s"
        if self._repeats and now_s - self._fresh_s > self._timeout_s:
            self._frozen = True
            return "frozen", f"has repeated one picture for {self._timeout_s:g} s"
        return None

    @property
    def steady_s(self) -> float:
        """How long this opening has delivered, from its first picture to its last new one."""
        return 0.0 if self._first_s is None else self._fresh_s - self._first_s

    def _same(self, bgr: ImageBgr) -> bool:
        return self._last is not None and np.array_equal(bgr, self._last)
