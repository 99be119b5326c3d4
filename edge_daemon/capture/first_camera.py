"""Chooses the first camera of this machine that delivers a picture, or else the demo."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from edge_daemon.capture.sources import (
    OpenSource,
    Source,
    SourceAwayError,
    SourceError,
    TimedImage,
)
from edge_daemon.core.threads import Worker

SHORTEST_PROBE_S: Final = 3.0
_SEARCH_S: Final = 2.0  # how often the demo checks whether a camera was plugged in

log = logging.getLogger(__name__)


class FirstCamera:
    """Opens the first camera of this machine that delivers a picture, or else the demo.

    Each camera has `probe_s` to deliver. Once one has delivered, the demo is never shown again;
    the camera may come back under another number. A camera whose driver still blocks from an
    earlier attempt is skipped, so that at most one thread per camera hangs.
    """

    def __init__(
        self,
        *,
        cameras: Callable[[], list[str]],
        open_camera: Callable[[str], Source],
        otherwise: OpenSource,
        probe_s: float = SHORTEST_PROBE_S,
    ) -> None:
        self._cameras = cameras
        self._open_camera = open_camera
        self._otherwise = otherwise
        self._probe_s = probe_s
        self._probes: dict[str, _Probe] = {}
        self._had_camera = False

    def __call__(self) -> Source:
        for name in self._cameras():
            source = self._delivering(name)
            if source is not None:
                self._had_camera = True
                return source
        if self._had_camera:
            raise SourceAwayError("no camera on this machine delivers a picture")
        log.info("no camera on this machine delivers a picture: showing the built-in demo")
        return StandIn(self._otherwise(), self._cameras)

    def _delivering(self, name: str) -> Source | None:
        before = self._probes.get(name)
        if before is not None and before.is_blocked:
            return None
        self._probes[name] = _Probe(lambda: self._open_camera(name))
        return self._probes[name].result(self._probe_s)


class StandIn:
    """Delivers `source` until a camera is plugged in, then raises SourceAwayError.

    The capture thread then opens the source again, and the camera is chosen.
    """

    def __init__(self, source: Source, cameras: Callable[[], list[str]]) -> None:
        self._source, self._cameras = source, cameras
        self.name, self.fps, self.mode = source.name, source.fps, source.mode
        self._known = set(cameras())
        self._searched_s = time.monotonic()

    def read(self) -> TimedImage | None:
        if time.monotonic() - self._searched_s > _SEARCH_S:
            self._search()
        return self._source.read()

    def close(self) -> None:
        self._source.close()

    def _search(self) -> None:
        attached = set(self._cameras())
        if new := attached - self._known:
            raise SourceAwayError(f"{min(new)} was plugged in: the {self.name} ends")
        self._known, self._searched_s = attached, time.monotonic()


class _Probe:
    """Checks, in a separate thread, whether a source opens and delivers a picture."""

    def __init__(self, open_source: OpenSource) -> None:
        self._open_source = open_source
        self._handing_over = threading.Lock()
        self._is_abandoned = False
        self._found: Source | None = None
        self._failure: BaseException | None = None
        self._worker = Worker("camera-probe", self._run, self._fail)
        self._worker.start()

    @property
    def is_blocked(self) -> bool:
        return self._worker.alive

    def result(self, timeout_s: float) -> Source | None:
        """Return the source if it delivers in `timeout_s`; else None. Call it once.

        A thread that still blocks then closes its source when it returns.
        """
        self._worker.join(timeout_s)
        with self._handing_over:
            self._is_abandoned = True
        if self._failure is not None:
            raise self._failure
        return self._found

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, SourceAwayError | SourceError):
            log.debug("skipped: %s", error)
        else:
            self._failure = error

    def _run(self) -> None:
        source = self._open_source()
        try:
            delivers = source.read() is not None
        except BaseException:
            source.close()
            raise
        with self._handing_over:
            if delivers and not self._is_abandoned:
                self._found = source
                return
        source.close()
