"""Source choice: from the `source` of the configuration to something that opens it.

In: "auto", "demo", "picamera", a device, a file, a folder or an address. Out: a function that
opens it, as often as needed.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from edge_daemon.capture.mjpeg import open_http
from edge_daemon.capture.picamera import PiCamera, check_installed, pi_cameras
from edge_daemon.capture.sources import (
    IMAGE_SUFFIXES,
    DemoSource,
    Device,
    ImageFiles,
    Network,
    OpenSource,
    Source,
    SourceAwayError,
    SourceError,
    TimedImage,
    VideoSource,
    redacted,
)
from edge_daemon.capture.v4l2 import capture_devices

_SCHEMES = ("rtsp", "rtsps", "http", "https")
_PROBE_S = 3.0
_LOOK_S = 2.0  # how often the demo looks for a camera that was plugged in

log = logging.getLogger(__name__)


def source_opener(
    source: str | int,
    *,
    width: int,
    height: int,
    fps: float,
    loop: bool,
    pixel_format: str = "auto",
) -> OpenSource:
    """Check what the configuration names as the source, and say how to open it.

    `width`, `height`, `fps` and `pixel_format` are asked of a device, the first three are also
    the demo's; files and network cameras have their own. `loop` plays files again and again.
    Raises SourceError, one sentence, where opening could never work. The function returned
    raises SourceAwayError while a camera does not answer.
    """
    text = f"/dev/video{source}" if str(source).isdecimal() else str(source)

    def demo() -> Source:
        return DemoSource(width=width, height=height, fps=fps)

    def camera(name: str) -> Source:
        kind, _, number = name.partition(":")
        if kind == "picamera":
            return PiCamera(int(number or 0), width=width, height=height, fps=fps)
        return Device(name, width=width, height=height, fps=fps, pixel_format=pixel_format)

    if text == "auto":
        return FirstCamera(cameras=_attached_cameras, open_camera=camera, otherwise=demo)
    if text == "demo":
        return demo
    if re.fullmatch(r"picamera(:\d+)?", text):
        check_installed()
        return lambda: camera(text)
    if "://" in text:
        _check_url(text)
        return lambda: open_http(text) if text.startswith("http") else Network(text)
    path = Path(text).expanduser()
    if path.is_relative_to("/dev"):
        _check_device(path)
        return lambda: camera(str(path))
    return _file_opener(path, loop=loop)


def _attached_cameras() -> list[str]:
    return [*pi_cameras(), *map(str, capture_devices())]


class FirstCamera:
    """Opens the first camera of this machine that delivers a picture, else, until one, the demo.

    Once a camera has run, the demo never takes its place: a lost camera is lost. It may come
    back under another number. A camera whose driver still hangs from an earlier try is passed
    over, so that no more than one thread is ever left behind for each.
    """

    def __init__(
        self,
        *,
        cameras: Callable[[], list[str]],
        open_camera: Callable[[str], Source],
        otherwise: OpenSource,
    ) -> None:
        self._cameras = cameras
        self._open_camera = open_camera
        self._otherwise = otherwise
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
        if before is not None and before.hangs:
            return None
        self._probes[name] = _Probe(lambda: self._open_camera(name))
        return self._probes[name].result(_PROBE_S)


class StandIn:
    """`source`, until a camera is plugged in: then it is away, and what opened it looks again."""

    def __init__(self, source: Source, cameras: Callable[[], list[str]]) -> None:
        self._source, self._cameras = source, cameras
        self.name, self.fps, self.mode = source.name, source.fps, source.mode
        self._known = set(cameras())
        self._looked_s = time.monotonic()

    def read(self) -> TimedImage | None:
        if time.monotonic() - self._looked_s > _LOOK_S:
            self._look()
        return self._source.read()

    def close(self) -> None:
        self._source.close()

    def _look(self) -> None:
        there = set(self._cameras())
        if come := there - self._known:
            raise SourceAwayError(f"{min(come)} has come: the {self.name} ends")
        self._known, self._looked_s = there, time.monotonic()


class _Probe:
    """Tries in a thread of its own whether a source opens and delivers a picture."""

    def __init__(self, open_source: OpenSource) -> None:
        self._open_source = open_source
        self._handing_over = threading.Lock()
        self._given_up = False
        self._found: Source | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="camera-probe", daemon=True)
        self._thread.start()

    @property
    def hangs(self) -> bool:
        return self._thread.is_alive()

    def result(self, timeout_s: float) -> Source | None:
        """The source, if it delivers; None if not, or not in time: then the thread is left."""
        self._thread.join(timeout_s)
        with self._handing_over:
            self._given_up = True
        if self._failure is not None:
            raise self._failure
        return self._found

    def _run(self) -> None:
        try:
            self._try()
        except (SourceAwayError, SourceError) as error:
            log.debug("passed over: %s", error)
        except BaseException as error:
            self._failure = error

    def _try(self) -> None:
        source = self._open_source()
        delivers = source.read() is not None
        with self._handing_over:
            if delivers and not self._given_up:
                self._found = source
                return
        source.close()


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise SourceError(
            f"{redacted(url)}: {parts.scheme}:// is no kind of camera known here; use "
            "rtsp://, rtsps://, http:// or https://"
        )
    if not parts.hostname:
        raise SourceError(f"{redacted(url)} names no host: write {parts.scheme}://HOST/PATH")


def _check_device(path: Path) -> None:
    if path.exists() and not path.is_char_device():
        raise SourceError(f"{path} is not a camera device: name one like /dev/video0")


def _file_opener(path: Path, *, loop: bool) -> OpenSource:
    if not path.exists():
        raise SourceError(
            f"{path} does not exist: name a video, a folder of images, a device like "
            '/dev/video0, an rtsp:// or http:// address, picamera, "auto" or "demo"'
        )
    if not path.is_dir() and not path.is_file():
        raise SourceError(f"{path} is neither a file nor a folder: name a video or images")
    if not path.is_dir() and path.suffix.lower() not in IMAGE_SUFFIXES:
        VideoSource(path, loop=loop).close()
        return lambda: VideoSource(path, loop=loop)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    images = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        kinds = " ".join(sorted(IMAGE_SUFFIXES))
        raise SourceError(f"the folder {path} has no image in it: put some there ({kinds})")
    return lambda: ImageFiles(str(path), images, loop=loop)
