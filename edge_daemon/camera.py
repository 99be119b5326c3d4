"""Camera: keeps a source running and publishes its newest frame.

In: a function that opens a source. Out: stamped frames in a `Latest`, and a status. A camera that
fails or falls silent is opened again, at growing intervals, until it delivers.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from edge_daemon.latest import Latest
from edge_daemon.reader import Reader
from edge_daemon.source_choice import OpenSource
from edge_daemon.sources import Source, SourceAwayError
from edge_daemon.types import Frame, ImageBgr

State = Literal["starting", "ok", "lost", "ended"]

_POLL_S = 0.2  # how often a wait looks at the stop flag
_OPEN_TIMEOUT_S = 15.0  # "auto" tries several devices
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 10.0
_MAX_HANGING = 8  # blocked reads left behind before the process had better start anew

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """How the camera is: what it is once it was opened, and why it is lost or ended."""

    state: State
    name: str
    reason: str
    last_frame_at: datetime | None


class Camera:
    """The capture thread.

    `timeout_s` without a frame counts as lost. Files are read at their own pace; `lossless`
    reads them as fast as a consumer takes every single frame instead, and stamps the frames
    with the file's time, so that a run can be repeated exactly. `on_failure` is called, in the
    capture thread, with the exception that ended it.
    """

    def __init__(
        self,
        *,
        open_source: OpenSource,
        frames: Latest[Frame],
        timeout_s: float,
        lossless: bool,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._open_source = open_source
        self._frames = frames
        self._timeout_s = timeout_s
        self._lossless = lossless
        self._on_failure = on_failure
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._stop = threading.Event()
        self._status = CameraStatus("starting", "", "", None)
        self._hanging: list[Reader] = []
        self.captured = 0  # frames since the start
        self.abandoned = 0  # blocked reads left behind since the start

    @property
    def status(self) -> CameraStatus:
        return self._status

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the capture thread, within half a second even when the driver hangs."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * _POLL_S + 0.1)

    def _run(self) -> None:
        try:
            self._keep_running()
        except BaseException as error:
            self._on_failure(error)

    def _keep_running(self) -> None:
        """Open the source again and again until it ends or the camera is stopped."""
        retry_s = _FIRST_RETRY_S
        while not self._stop.is_set():
            before = self.captured
            reader = Reader(self._open_source)
            try:
                reason = self._pump(reader)
            finally:
                self._leave(reader)
            if reason is None:
                return
            self._change("lost", reason)
            retry_s = _FIRST_RETRY_S if self.captured > before else min(2 * retry_s, _LAST_RETRY_S)
            self._stop.wait(retry_s * random.uniform(0.75, 1.25))  # noqa: S311 (no secret)

    def _pump(self, reader: Reader) -> str | None:
        """Publish what the reader delivers; return why it is lost, or None at a planned end."""
        heard_s = time.monotonic()
        patience_s = max(self._timeout_s, _OPEN_TIMEOUT_S)
        clock: _Clock | None = None
        while not self._stop.is_set():
            try:
                bgr = reader.next(_POLL_S)
            except SourceAwayError as away:
                return str(away)
            except EOFError as end:
                if reader.source is None or reader.source.fps is None:
                    return str(end)
                self._change("ended", str(end))
                return None
            if bgr is not None and reader.source is not None:
                clock = clock or _Clock(reader.source.fps, self._lossless)
                self._publish(bgr, reader.source, clock)
                heard_s, patience_s = time.monotonic(), self._timeout_s
            elif time.monotonic() - heard_s > patience_s:
                return f"{self._status.name or 'the camera'} was silent for {patience_s:g} s"
        return None

    def _publish(self, bgr: ImageBgr, source: Source, clock: _Clock) -> None:
        self._stop.wait(clock.next())
        frame = Frame(self.captured + 1, bgr, clock.now_s, clock.now_at)
        self.captured += 1
        self._status = replace(self._status, name=source.name, last_frame_at=frame.captured_at)
        self._change("ok")
        self._frames.put(frame)
        while self._lossless and not self._stop.is_set():
            if self._frames.wait_taken(_POLL_S):
                break

    def _leave(self, reader: Reader) -> None:
        """Stop the reader, or leave it behind when it hangs; RuntimeError when too many do."""
        if not reader.leave(_POLL_S):
            self._hanging.append(reader)
            self.abandoned += 1
        self._hanging = [r for r in self._hanging if r.alive]
        if len(self._hanging) > _MAX_HANGING:
            raise RuntimeError(f"{len(self._hanging)} reads of the camera hang in the driver")

    def _change(self, state: State, reason: str = "") -> None:
        """Take note of the state; log it only where it is a new one."""
        changed = state != self._status.state
        self._status = replace(self._status, state=state, reason=reason)
        if changed:
            level = logging.WARNING if state == "lost" else logging.INFO
            log.log(level, "camera %s: %s", state, reason or self._status.name)


class _Clock:
    """When frames are due, and the time they are stamped with.

    A live camera's frames (`fps` None) are due at once, a file's at its pace. A lossless file's
    are due at once too, and stamped as if it had been played at its pace.
    """

    def __init__(self, fps: float | None, lossless: bool) -> None:
        self._interval_s = 1 / fps if fps else 0.0
        self._virtual = lossless and fps is not None
        self._started_at = datetime.now(UTC)
        self._started_s = time.monotonic()
        self._due_s = self._started_s - self._interval_s

    def next(self) -> float:
        """Go on to the next frame; the seconds to wait for it."""
        self._due_s += self._interval_s
        late_s = time.monotonic() - self._due_s
        if self._virtual or not self._interval_s:
            return 0.0
        if late_s > 1:
            self._due_s += late_s  # do not hurry to catch up
        return max(-late_s, 0.0)

    @property
    def now_s(self) -> float:
        return self._due_s if self._virtual else time.monotonic()

    @property
    def now_at(self) -> datetime:
        return self._started_at + timedelta(seconds=self.now_s - self._started_s)
