"""Decides whether a camera has fallen silent or frozen.

`VideoCapture.read()` may block, or return True with an old picture, after a camera has died. A
camera is therefore judged by new content on our own clock. A stream that carries timestamps is
frozen when these stand still; its pictures may repeat, since encoders send a quiet room bit for bit
the same. Without timestamps the pictures are compared: noise makes every picture of a sensor
different, so that exact equality means a frozen camera.
"""

from __future__ import annotations

from typing import Final, Literal

from edge_daemon.capture.sources import TimedImage

# Without a call of `failure` for this long, the whole process was stopped (SIGSTOP, a suspended
# machine), or had no processor.
STOPPED_S: Final = 1.0


class Freshness:
    """Judges a source each time it is opened, and keeps its last picture in between.

    A source is silent after `timeout_s` without a picture; the first picture may take
    `open_timeout_s`. With `check_frozen`, a live source that repeats itself for `timeout_s` is
    frozen, and stays frozen when it is opened again until something new comes.
    """

    def __init__(self, *, timeout_s: float, open_timeout_s: float, check_frozen: bool) -> None:
        self._timeout_s = timeout_s
        self._open_timeout_s = max(open_timeout_s, timeout_s)
        self._check_frozen = check_frozen
        self._last: TimedImage | None = None
        self._frozen = False
        self.opened(0.0)

    def opened(self, now_s: float) -> None:
        """Begin anew: the source is being opened."""
        self._patience_s = self._open_timeout_s
        self._heard_s = self._asked_s = now_s
        self._first_s: float | None = None
        self._fresh_s = now_s
        self._repeats = False

    def check(self, image: TimedImage, now_s: float, *, live: bool) -> bool:
        """Note a picture; return whether it is to be shown: not while the source is frozen."""
        self.heard(now_s)
        self._repeats = live and self._check_frozen and self._is_repeated(image)
        if not self._repeats:
            self._last, self._frozen = image, False
        if not self._repeats or self._first_s is None:
            self._fresh_s = now_s
        if self._first_s is None:
            self._first_s = now_s
        return not self._frozen

    def heard(self, now_s: float) -> None:
        """End the silence; also called after our own delays."""
        self._heard_s, self._patience_s = now_s, self._timeout_s

    def failure(self, now_s: float) -> tuple[Literal["silent", "frozen"], str] | None:
        """Return what is wrong with the source, as a cause and in words; None if nothing is."""
        stopped_s = now_s - self._asked_s
        self._asked_s = now_s
        if stopped_s > STOPPED_S:  # the time that nobody could listen does not count
            self._heard_s = min(self._heard_s + stopped_s, now_s)
            self._fresh_s = min(self._fresh_s + stopped_s, now_s)
        if now_s - self._heard_s > self._patience_s:
            return "silent", f"was silent for {self._patience_s:g} s"
        if self._repeats and now_s - self._fresh_s > self._timeout_s:
            self._frozen = True
            return "frozen", f"has repeated one picture for {self._timeout_s:g} s"
        return None

    @property
    def steady_s(self) -> float:
        """How long the source has delivered since it was opened: from the first picture to the last
        new one, in seconds."""
        return 0.0 if self._first_s is None else self._fresh_s - self._first_s

    def _is_repeated(self, image: TimedImage) -> bool:
        if self._last is None:
            return False
        if image.time_s is not None:
            return image.time_s == self._last.time_s
        return image.picture.repeats(self._last.picture)
