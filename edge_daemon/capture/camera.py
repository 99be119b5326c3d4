"""The capture thread: keeps a source open and sees that its frames are published."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal, get_args

import cv2
import numpy as np

from edge_daemon.capture.freshness import Freshness
from edge_daemon.capture.pace import Pace
from edge_daemon.capture.reader import Reader
from edge_daemon.capture.sources import (
    OpenSource,
    Source,
    SourceAwayError,
    SourceError,
    SourceSilentError,
    TimedImage,
)
from edge_daemon.core.backoff import BackOff
from edge_daemon.core.frame import Picture
from edge_daemon.core.slots import Latest
from edge_daemon.core.threads import RestartNeeded, Worker
from edge_daemon.core.types import Frame, ImageBgr

State = Literal["starting", "ok", "lost", "ended"]
# absent: it cannot be opened. ended: its stream ended or broke off. silent: no new frame came.
# frozen: the same frame came again and again.
Cause = Literal["absent", "ended", "silent", "frozen"]

_POLL_S: Final = 0.2  # how long threads that should end are waited for at a time
_CHECK_S: Final = 0.5  # the longest time between two checks of a camera
_SAFETY_S: Final = 0.01  # after the earliest time at which a check may find a failure
_OPEN_TIMEOUT_S: Final = 15.0  # at least this long, because "auto" tries several devices
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 10.0
HALF_TURN: Final = 180
_ROTATIONS: Final = {
    90: cv2.ROTATE_90_CLOCKWISE,
    HALF_TURN: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """The beginning of an outage, in UTC and in monotonic seconds."""

    cause: Cause
    reason: str
    at: datetime
    at_s: float


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """The camera's state. `name` is "" until the first opening, `reason` is "" while it is ok."""

    state: State
    name: str
    reason: str
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class CameraCounts:
    """Counts since the start.

    `reopened` counts the attempts to open the camera after the first, `abandoned` the blocked
    reads that were given up, and `lost` the attempts that failed or ended, by cause.
    """

    captured: int
    overwritten: int
    reopened: int
    abandoned: int
    lost: Mapping[Cause, int]


class Camera:
    """Runs the capture thread.

    A camera that fails, falls silent or freezes is opened again, at growing intervals, until it
    delivers. It is lost after `timeout_s` without a new frame. With `check_frozen`, a camera that
    repeats its last frame is lost too. Frames are rotated clockwise by `rotate` degrees (0, 90, 180
    or 270) and then mirrored.

    A file is played at its own pace. With `lossless`, each frame waits until the one before was
    taken, and frames are stamped with the file's time, so that a run can be repeated exactly.

    `on_lost` and `on_restored` (with the time and the outage's duration in seconds) are called once
    for each outage, in the capture thread. `on_failure` is called there with the exception that
    ended it: SourceError for a file that cannot be read to its end, RestartNeeded once a read has
    blocked for `hang_limit_s` and the camera is lost.

    `before` is the stopped camera that this one replaces: its counts and its outage continue.
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
        rotate: int = 0,
        mirror: bool = False,
        hang_limit_s: float = 60.0,
        on_lost: Callable[[Loss], None] = lambda loss: None,
        on_restored: Callable[[datetime, float], None] = lambda at, outage_s: None,
        before: Camera | None = None,
    ) -> None:
        self._open_source = open_source
        self._frames = frames
        self._timeout_s = timeout_s
        self._lossless = lossless
        self._rotate, self._mirror = rotate, mirror
        self._hang_limit_s = hang_limit_s
        self._on_lost, self._on_restored = on_lost, on_restored
        self._worker = Worker("capture", self._run, on_failure)
        self._stop = threading.Event()
        self._status = CameraStatus("starting", "", "")
        self._freshness = Freshness(
            timeout_s=timeout_s, open_timeout_s=_OPEN_TIMEOUT_S, check_frozen=check_frozen
        )
        self._back_off = BackOff(first_s=_FIRST_RETRY_S, last_s=_LAST_RETRY_S)
        self._outage: Loss | None = None
        self._reader: Reader | None = None
        self._hanging: list[Reader] = []
        self._turn = threading.Lock()  # of the capture thread or the reader's
        self._steady: Reader | None = None  # which publishes its own pictures
        self._captured = self._opened = self._abandoned = 0
        self._lost: dict[Cause, int] = dict.fromkeys(get_args(Cause), 0)
        if before is not None:
            self._continue(before)

    def _continue(self, before: Camera) -> None:
        """Continue the counts, and the outage if there is one, of a camera that was stopped."""
        self._captured, self._opened = before._captured, before._opened
        self._abandoned, self._lost = before._abandoned, dict(before._lost)
        self._outage, self._hanging = before._outage, before._hanging

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
        self._worker.start()

    def stop(self) -> None:
        """End the capture thread, within half a second even if the driver hangs."""
        self._stop.set()
        if (reader := self._reader) is not None:
            reader.wake()
        self._worker.join(2 * _POLL_S + 0.1)

    def _run(self) -> None:
        """Open the source again and again until it ends or the camera is stopped."""
        while not self._stop.is_set():
            self._opened += 1
            self._reader = reader = Reader(self._open_source, self._publish_live)
            try:
                loss = self._read(reader)
            finally:
                with self._turn:
                    self._steady = None
                self._leave(reader)
            if loss is None:
                return
            self._mark_lost(loss)
            if self._freshness.steady_s >= self._timeout_s:
                self._back_off.reset()
            self._stop.wait(self._back_off.next_s())

    def _read(self, reader: Reader) -> Loss | None:
        """Publish the reader's frames until they end; return the loss, None at a planned end.

        The first frame of a live camera is published here, those that follow by `_publish_live`.
        """
        self._freshness.opened(time.monotonic())
        pace: Pace | None = None
        while not self._stop.is_set():
            try:
                safe_s = self._freshness.safe_s(time.monotonic())
                image = reader.next(min(safe_s + _SAFETY_S, _CHECK_S))
            except SourceAwayError as away:
                return _loss(_cause(away, reader), str(away))
            except SourceError as error:
                self._set_state("ended", reason=str(error))
                raise
            except EOFError as end:
                if reader.source is None or reader.source.fps is None:
                    return _loss("ended", str(end))
                self._set_state("ended", reason=str(end))
                return None
            now_s, source = time.monotonic(), reader.source
            with self._turn:
                if image is not None and source is not None:
                    pace = pace or Pace(source.fps, self._lossless)
                    if self._freshness.check(image, now_s, live=source.fps is None):
                        self._publish(image, source, pace)
                        self._steady = reader if source.fps is None else None
                failure = self._freshness.failure(time.monotonic())
            if failure:
                cause, words = failure
                return _loss(cause, f"{self._status.name or 'the camera'} {words}")
        return None

    def _publish_live(self, reader: Reader, image: TimedImage) -> bool:
        """Publish a picture in the reader's thread, so that it need not wake the capture thread.

        Returns False, and leaves the picture to the capture thread, unless the camera is live and
        delivers.
        """
        with self._turn:
            if reader is not self._steady:
                return False
            now_s = time.monotonic()
            if self._freshness.check(image, now_s, live=True):
                self._frames.put(self._framed(image, now_s, datetime.now(UTC)))
            return True

    def _framed(self, image: TimedImage, at_s: float, at: datetime) -> Frame:
        self._captured += 1
        return Frame(self._captured, self._oriented(image.picture), at_s, at)

    def _publish(self, image: TimedImage, source: Source, pace: Pace) -> None:
        if (wait_s := pace.wait_s(image.time_s)) > 0:
            self._stop.wait(wait_s)
        frame = self._framed(image, pace.now_s, pace.now_at)
        self._mark_ok(frame, source)
        self._frames.put(frame)
        while pace.is_virtual and not self._stop.is_set():
            if self._frames.wait_taken(_POLL_S):
                break
        self._freshness.heard(time.monotonic())

    def _oriented(self, picture: Picture) -> Picture:
        """Rotate and mirror the picture as the camera is mounted."""
        if self._rotate:
            code = _ROTATIONS[self._rotate]
            picture = picture.changed(
                lambda bgr: np.asarray(cv2.rotate(bgr, code), np.uint8),
                is_turned=self._rotate != HALF_TURN,
            )
        return picture.changed(_mirrored) if self._mirror else picture

    def _mark_ok(self, frame: Frame, source: Source) -> None:
        """Set the state to ok, and end the outage if there is one."""
        before = self._status
        self._status = CameraStatus("ok", source.name, "")
        if before.state != "ok":
            width, height = frame.size
            log.info("camera ok: %s", f"{source.name}, {width}x{height} {source.mode}".rstrip())
        if self._outage is not None:
            outage_s = time.monotonic() - self._outage.at_s
            self._outage = None
            self._on_restored(frame.captured_at, outage_s)

    def _mark_lost(self, loss: Loss) -> None:
        """Count the loss, and begin an outage.

        Raises RestartNeeded if an abandoned read has blocked for too long.
        """
        self._lost[loss.cause] += 1
        self._set_state("lost", cause=loss.cause, reason=loss.reason)
        if self._outage is None:
            self._outage = loss
            self._on_lost(loss)
        hung_s = max((reader.hung_s for reader in self._hanging), default=0.0)
        if hung_s > self._hang_limit_s:
            raise RestartNeeded(
                f"a read of the camera has hung in the driver for {hung_s:.0f} s: the daemon exits "
                "so that a new process can open the camera"
            )

    def _leave(self, reader: Reader) -> None:
        """Stop the reader; abandon it in its thread if it hangs."""
        if not reader.leave(_POLL_S):
            self._abandoned += 1
            self._hanging.append(reader)
        self._hanging = [r for r in self._hanging if r.alive]

    def _set_state(self, state: State, *, cause: Cause | None = None, reason: str) -> None:
        """Set a state other than ok; log it if the state or the cause is new."""
        is_new = (state, cause) != (self._status.state, self._status.cause)
        self._status = replace(self._status, state=state, cause=cause, reason=reason)
        if is_new:
            level = logging.WARNING if state == "lost" else logging.INFO
            log.log(level, "camera %s: %s", state, reason)


def _mirrored(bgr: ImageBgr) -> ImageBgr:
    return np.asarray(cv2.flip(bgr, 1), np.uint8)


def _cause(away: SourceAwayError, reader: Reader) -> Cause:
    if reader.source is None:
        return "absent"
    return "silent" if isinstance(away, SourceSilentError) else "ended"


def _loss(cause: Cause, reason: str) -> Loss:
    return Loss(cause, reason, datetime.now(UTC), time.monotonic())
