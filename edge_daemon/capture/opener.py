"""Turns `camera.source` into a function that opens the source, each time it is needed."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from edge_daemon.capture.address import CameraAddress, is_ambiguous, parse_address
from edge_daemon.capture.device import V4l2Device
from edge_daemon.capture.picamera import PiCamera, check_installed, pi_cameras
from edge_daemon.capture.sources import (
    DemoSource,
    OpenSource,
    PictureFiles,
    Source,
    SourceAwayError,
    SourceError,
    TimedImage,
    VideoSource,
    is_picture,
)
from edge_daemon.capture.v4l2 import GRAY_16_BE, READABLE, capture_devices, shown_format
from edge_daemon.core.threads import Worker

_SHORTEST_PROBE_S: Final = 3.0
_SEARCH_S: Final = 2.0  # how often the demo checks whether a camera was plugged in

log = logging.getLogger(__name__)


def source_opener(
    source: str | int,
    *,
    width: int,
    height: int,
    fps: float,
    loop: bool,
    timeout_s: float,
    pixel_format: str = "auto",
    controls: Mapping[str, object] | None = None,
    tls_verify: bool | str = True,
) -> OpenSource:
    """Check `source`, the value of `camera.source`, and return a function that opens it.

    `width`, `height`, `fps`, `pixel_format` and `controls` are requested from a device. The first
    three also apply to the demo, and `fps` is the rate at which still pictures are polled. `loop`
    plays files again and again. A network camera has `timeout_s` to answer; `tls_verify` is as in
    `HttpClient`. Raises SourceError if opening can never work. The function returned raises
    SourceAwayError while a camera does not answer.
    """
    text = f"/dev/video{source}" if str(source).isdecimal() else str(source)
    if pixel_format != "auto" and f"{pixel_format:<4}" not in READABLE:
        raise SourceError(
            f"camera.pixel_format: {pixel_format} cannot be decoded: use auto or one of "
            f"{', '.join(sorted(map(shown_format, READABLE - {GRAY_16_BE})))}"
        )

    def demo() -> Source:
        return DemoSource(width=width, height=height, fps=fps)

    def camera(name: str) -> Source:
        kind, _, number = name.partition(":")
        if kind == "picamera":
            return PiCamera(
                int(number or 0), width=width, height=height, fps=fps, controls=controls
            )
        return V4l2Device(
            name,
            width=width,
            height=height,
            fps=fps,
            timeout_s=timeout_s,
            pixel_format=pixel_format,
            controls=controls,
        )

    if text == "auto":
        return FirstCamera(
            cameras=_attached_cameras,
            open_camera=camera,
            otherwise=demo,
            probe_s=max(timeout_s, _SHORTEST_PROBE_S),
        )
    if text == "demo":
        return demo
    if re.fullmatch(r"picamera(:\d+)?", text):
        check_installed()
        return lambda: camera(text)
    if re.match(r"\s*(\S+://|(rtsps?|https?):)", text, re.IGNORECASE):
        address = _checked_address(text, tls_verify)
        return lambda: _open_network(address, timeout_s=timeout_s, fps=fps, tls_verify=tls_verify)
    path = Path(text).expanduser()
    if path.is_relative_to("/dev"):
        if path.exists() and not path.is_char_device():
            raise SourceError(f"{path} is not a camera device: name one like /dev/video0")
        return lambda: camera(str(path))
    return _file_opener(path, loop=loop)


def _attached_cameras() -> list[str]:
    return [*pi_cameras(), *map(str, capture_devices())]


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
        probe_s: float = _SHORTEST_PROBE_S,
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


def _checked_address(text: str, tls_verify: bool | str) -> CameraAddress:
    address = parse_address(text)
    if is_ambiguous(address):
        log.warning(
            "camera.source can be read in more than one way: write the special characters of the "
            "password as %%40 for @, %%2F for /, %%3F for ? and %%23 for #"
        )
    if address.scheme == "rtsps" and isinstance(tls_verify, str):
        raise SourceError(
            f"{address.shown}: a fingerprint in camera.tls_verify works for https:// only; "
            "set it to false for a camera with a self-signed certificate"
        )
    return address


def _open_network(
    address: CameraAddress, *, timeout_s: float, fps: float, tls_verify: bool | str
) -> Source:
    if address.scheme in {"http", "https"}:
        from edge_daemon.capture.mjpeg import open_jpegs  # noqa: PLC0415 (loads an HTTP client)

        camera = open_jpegs(address, timeout_s=timeout_s, fps=fps, tls_verify=tls_verify)
        if camera is not None:
            return camera
        if isinstance(tls_verify, str):
            raise SourceAwayError(
                f"{address.shown} sends no JPEG pictures; for other video camera.tls_verify cannot "
                "be a fingerprint"
            )
    from edge_daemon.capture.video import NetworkVideo  # noqa: PLC0415 (loads FFmpeg)

    return NetworkVideo(address, timeout_s=timeout_s, tls_verify=bool(tls_verify))


def _file_opener(path: Path, *, loop: bool) -> OpenSource:
    if not path.exists():
        if re.search(":.*@", str(path)):
            raise SourceError(
                "camera.source is neither a file nor an address: write a camera's address as "
                "rtsp://USER:PASSWORD@HOST/… or http://…"
            )
        raise SourceError(
            f"{path} does not exist: name a video, a folder of pictures, a device like "
            '/dev/video0, an rtsp:// or http:// address, picamera, "auto" or "demo"'
        )
    if not path.is_dir() and not path.is_file():
        raise SourceError(f"{path} is neither a file nor a folder: name a video or pictures")
    if path.is_dir() and not any(map(is_picture, path.iterdir())):
        raise SourceError(f"the folder {path} has no picture in it: put one there")

    def opened() -> PictureFiles | VideoSource:
        if path.is_dir() or is_picture(path):
            return PictureFiles(path, loop=loop)
        return VideoSource(path, loop=loop)

    def reopened() -> Source:
        try:
            return opened()
        except SourceError as error:
            if loop:  # the file may come back
                raise SourceAwayError(str(error)) from error
            raise

    source = opened()
    try:
        source.read()
    except SourceAwayError as error:
        raise SourceError(str(error)) from error
    finally:
        source.close()
    return reopened
