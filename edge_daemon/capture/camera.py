"""Camera: keeps a source running and publishes its newest frame.

In: a function that opens a source. Out: stamped frames in a `Latest`, a status, counts. A camera
that fails, falls silent or freezes is opened again, at growing intervals, until it delivers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from edge_daemon.capture.freshness import Freshness
from edge_daemon.capture.opener import OpenSource
from edge_daemon.capture.reader import Reader
from edge_daemon.capture.sources import Source, SourceAwayError, SourceError
from edge_daemon.core.backoff import BackOff
from edge_daemon.core.slots import Latest
from edge_daemon.core.threads import RestartNeeded, Worker
from edge_daemon.core.types import Frame, ImageBgr

State = Literal["starting", "ok", "lost", "ended"]
# Not to be opened; its stream ended or broke off; no new frame; the same picture again and again.
Cause = Literal["absent", "ended", "silent", "frozen"]

_POLL_S = 0.2  # how often a wait looks at the stop flag
_OPEN_TIMEOUT_S = 15.0  # "auto" tries several devices
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """The beginning of an outage."""

    cause: Cause
    reason: str
    at: datetime
    at_s: float


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """How the camera is: what it is once it was opened, and why it is lost or ended."""

    state: State
    name: str
    reason: str
    last_frame_at: datetime | None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class CameraCounts:
    """Since the start: frames captured and overwritten, openings tried after the first, blocked
    reads left behind, and openings that failed or came to an end, by cause."""

    captured: int
    overwritten: int
    reopened: int
    abandoned: int
    lost: Mapping[Cause, int]


class Camera:
    """The capture thread.

    `timeout_s` without a frame counts as lost, and so do, with `check_frozen`, identical frames
    from a live camera for as long. Files are read at their own pace; `lossless` reads them as
    fast as a consumer takes every single frame instead, and stamps the frames with the file's
    time, so that a run can be repeated exactly.

    `on_lost` and `on_restored` (its time, and how long the outage was in seconds) are called once
    for each outage, in the capture thread. `on_failure` is called there with the exception that
    ended it: RestartNeeded once a read has blocked for `hang_limit_s` and the camera is lost.
    """

    def __init__(
        self,
        *,
        open_source: OpenSource,
        frames: Latest[Frame],
        timeout_s: float,
        lossless: bool,
        on_failure: Callable[[BaseException], None],
        check_frozen: bool = True,
        hang_limit_s: float = 60.0,
        on_lost: Callable[[Loss], None] = lambda loss: None,
        on_restored: Callable[[datetime, float], None] = lambda at, gone_s: None,
    ) -> None:
        self._open_source = open_source
        self._frames = frames
        self._timeout_s = timeout_s
        self._lossless = lossless
        self._hang_limit_s = hang_limit_s
        self._on_lost, self._on_restored = on_lost, on_restored
        self._thread = Worker("capture", self._keep_running, on_failure)
        self._stop = threading.Event()
        self._status = CameraStatus("starting", "", "", None)
        self._freshness = Freshness(
            timeout_s=timeout_s, open_timeout_s=_OPEN_TIMEOUT_S, check_frozen=check_frozen
        )
        self._back_off = BackOff(first_s=_FIRST_RETRY_S, last_s=_LAST_RETRY_S)
        self._outage: Loss | None = None  # why it is lost now
        self._hanging: list[Reader] = []
        self._captured = self._opened = self._abandoned = 0
        self._lost: dict[Cause, int] = dict.fromkeys(get_args(Cause), 0)

    @property
    def status(self) -> CameraStatus:
        return self._status

    @property
    def notice(self) -> str:
        """Why the camera is lost; "" while it is not."""
        status = self._status
        return status.reason if status.state == "lost" else ""

    @property
    def counts(self) -> CameraCounts:
        return CameraCounts(
            captured=self._captured,
            overwritten=self._frames.overwritten,
            reopened=max(self._opened - 1, 0),
            abandoned=self._abandoned,
            lost=dict(self._lost),
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the capture thread, within half a second even when the driver hangs."""
        self._stop.set()
        self._thread.join(2 * _POLL_S + 0.1)

    def _keep_running(self) -> None:
        """Open the source again and again until it ends or the camera is stopped."""
        while not self._stop.is_set():
            self._opened += 1
            reader = Reader(self._open_source)
            try:
                loss = self._pump(reader)
            finally:
                self._leave(reader)
            if loss is None:
                return
            self._lose(loss)
            if self._freshness.steady_s >= self._timeout_s:
                self._back_off.reset()
            self._stop.wait(self._back_off.next_s())

    def _pump(self, reader: Reader) -> Loss | None:
        """Publish what the reader delivers; return why it is lost, or None at a planned end."""
        self._freshness.opened(time.monotonic())
        clock: _Clock | None = None
        while not self._stop.is_set():
            try:
                bgr = reader.next(_POLL_S)
            except (SourceAwayError, SourceError) as away:
                return _loss("absent" if reader.source is None else "ended", str(away))
            except EOFError as end:
                if reader.source is None or reader.source.fps is None:
                    return _loss("ended", str(end))
                self._change("ended", reason=str(end))
                return None
            now_s = time.monotonic()
            if bgr is not None and reader.source is not None:
                clock = clock or _Clock(reader.source.fps, self._lossless)
                if self._freshness.picture(bgr, now_s, live=reader.source.fps is None):
                    self._publish(bgr, reader.source, clock)
            if wrong := self._freshness.verdict(now_s):
                cause, what = wrong
                return _loss(cause, f"{self._status.name or 'the camera'} {what}")
        return None

    def _publish(self, bgr: ImageBgr, source: Source, clock: _Clock) -> None:
        self._stop.wait(clock.next())
        frame = Frame(self._captured + 1, bgr, clock.now_s, clock.now_at)
        self._captured += 1
        self._status = replace(self._status, name=source.name, last_frame_at=frame.captured_at)
        self._find(frame, source)
        self._frames.put(frame)
        while clock.virtual and not self._stop.is_set():
            if self._frames.wait_taken(_POLL_S):
                break
        self._freshness.heard(time.monotonic())

    def _find(self, frame: Frame, source: Source) -> None:
        """The camera delivers: the end of the outage, if there was one."""
        height, width = frame.bgr.shape[:2]
        self._change("ok", detail=f"{source.name}, {width}x{height} {source.mode}".rstrip())
        if self._outage is not None:
            gone_s = time.monotonic() - self._outage.at_s
            self._outage = None
            self._on_restored(frame.captured_at, gone_s)

    def _lose(self, loss: Loss) -> None:
        """Take note of an opening that is over; RestartNeeded if reads of it block for too long."""
        self._lost[loss.cause] += 1
        self._change("lost", cause=loss.cause, reason=loss.reason)
        if self._outage is None:
            self._outage = loss
            self._on_lost(loss)
        hung_s = max((reader.hung_s for reader in self._hanging), default=0.0)
        if hung_s > self._hang_limit_s:
            raise RestartNeeded(
                f"a read of the camera has hung in the driver for {hung_s:.0f} s: ending, so that "
                "the process can be started anew"
            )

    def _leave(self, reader: Reader) -> None:
        """Stop the reader, or leave it behind when it hangs."""
        if not reader.leave(_POLL_S):
            self._abandoned += 1
            self._hanging.append(reader)
        self._hanging = [r for r in self._hanging if r.alive]

    def _change(
        self, state: State, *, cause: Cause | None = None, reason: str = "", detail: str = ""
    ) -> None:
        """Take note of the state; log it only where state or cause are new."""
        changed = (state, cause) != (self._status.state, self._status.cause)
        self._status = replace(self._status, state=state, cause=cause, reason=reason)
        if changed:
            level = logging.WARNING if state == "lost" else logging.INFO
            log.log(level, "camera %s: %s", state, reason or detail)


def _loss(cause: Cause, reason: str) -> Loss:
    return Loss(cause, reason, datetime.now(UTC), time.monotonic())


class _Clock:
    """When frames are due, and the time they are stamped with.

    A live camera's frames (`fps` None) are due at once, a file's at its pace. A lossless file's
    are due at once too, and stamped as if it had been played at its pace.
    """

    def __init__(self, fps: float | None, lossless: bool) -> None:
        self._interval_s = 1 / fps if fps else 0.0
        self.virtual = lossless and fps is not None
        self._started_at = datetime.now(UTC)
        self._started_s = time.monotonic()
        self._due_s = self._started_s - self._interval_s

    def next(self) -> float:
        """Go on to the next frame; the seconds to wait for it."""
        self._due_s += self._interval_s
        late_s = time.monotonic() - self._due_s
        if self.virtual or not self._interval_s:
            return 0.0
        if late_s > 1:
            self._due_s += late_s  # do not hurry to catch up
        return max(-late_s, 0.0)

    @property
    def now_s(self) -> float:
        return self._due_s if self.virtual else time.monotonic()

    @property
    def now_at(self) -> datetime:
        return self._started_at + timedelta(seconds=self.now_s - self._started_s)
