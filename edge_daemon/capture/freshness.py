"""Decides whether a camera has fallen silent or frozen.

After a camera has died, `VideoCapture.read()` may block, or return True with an old picture. A
camera is therefore judged by new content on our own clock. A stream with timestamps is frozen when
they stop growing; its pictures may repeat, because encoders send a still scene as identical
pictures. Without timestamps the pictures are compared: a sensor's noise makes each one different,
so equal pictures mean that the camera is frozen.
"""

from __future__ import annotations

from typing import Final, Literal

from edge_daemon.capture.sources import TimedImage

# If `failure` was not called for this long, the whole process was stopped (by SIGSTOP or a
# suspended machine) or got no processor time.
STOPPED_S: Final = 1.0


class Freshness:
    """Checks a source for silence and frozen pictures, across several openings.

    A source is silent after `timeout_s` without a picture; the first picture may take
    `open_timeout_s`. With `check_frozen`, a live source that repeats one picture for `timeout_s` is
    frozen. Opened again, it stays frozen until it delivers a new picture.
    """

    def __init__(self, *, timeout_s: float, open_timeout_s: float, check_frozen: bool) -> None:
        self._timeout_s = timeout_s
        self._open_timeout_s = max(open_timeout_s, timeout_s)
        self._check_frozen = check_frozen
        self._last: TimedImage | None = None
        self._frozen = False
        self.opened(0.0)

    def opened(self, now_s: float) -> None:
        """Begin again: the source is being opened."""
        self._patience_s = self._open_timeout_s
        self._heard_s = self._asked_s = now_s
        self._first_s: float | None = None
        self._fresh_s = now_s
        self._repeats = False

    def check(self, image: TimedImage, now_s: float, *, live: bool) -> bool:
        """Record a picture; return whether it may be shown: not while the source is frozen."""
        self.heard(now_s)
        is_checked = live and self._check_frozen
        self._repeats = is_checked and self._is_repeated(image)
        if not self._repeats:
            self._last, self._frozen = image if is_checked else None, False
        if not self._repeats or self._first_s is None:
            self._fresh_s = now_s
        if self._first_s is None:
            self._first_s = now_s
        return not self._frozen

    def heard(self, now_s: float) -> None:
        """Restart the time of silence; also called after delays that are our own."""
        self._heard_s, self._patience_s = now_s, self._timeout_s

    def failure(self, now_s: float) -> tuple[Literal["silent", "frozen"], str] | None:
        """Return the cause of a failure and a clause that describes it; None if there is none."""
        stopped_s = now_s - self._asked_s
        self._asked_s = now_s
        if stopped_s > STOPPED_S:  # time in which the process could not read does not count
            self._heard_s = min(self._heard_s + stopped_s, now_s)
            self._fresh_s = min(self._fresh_s + stopped_s, now_s)
        if now_s - self._heard_s > self._patience_s:
            return "silent", f"was silent for {self._patience_s:g} s"
        if self._repeats and now_s - self._fresh_s > self._timeout_s:
            self._frozen = True
            return "frozen", f"has repeated one picture for {self._timeout_s:g} s"
        return None

    def safe_s(self, now_s: float) -> float:
        """Return the seconds for which `failure` will find none, whether pictures come or not."""
        end_s = self._heard_s + self._patience_s
        if self._repeats:
            end_s = min(end_s, self._fresh_s + self._timeout_s)
        return max(end_s - now_s, 0.0)

    @property
    def steady_s(self) -> float:
        """Seconds from the first picture since the opening to the newest one that differs."""
        return 0.0 if self._first_s is None else self._fresh_s - self._first_s

    def _is_repeated(self, image: TimedImage) -> bool:
        if self._last is None:
            return False
        if image.time_s is not None:
            return image.time_s == self._last.time_s
        return image.picture.repeats(self._last.picture)
