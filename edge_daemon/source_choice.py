"""Source choice: from the `source` of the configuration to something that opens it.

In: "auto", "demo", a device, a file, a folder or an address. Out: a function that opens it, as
often as needed.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from edge_daemon.sources import (
    IMAGE_SUFFIXES,
    DemoSource,
    Device,
    ImageFiles,
    Network,
    Source,
    SourceAwayError,
    SourceError,
    VideoFile,
    redacted,
)
from edge_daemon.v4l2 import capture_devices

OpenSource = Callable[[], Source]

_SCHEMES = ("rtsp", "rtsps", "http", "https")
_PROBE_S = 3.0

log = logging.getLogger(__name__)


def source_opener(
    source: str | int, *, width: int, height: int, fps: float, loop: bool
) -> OpenSource:
    """Check what the configuration names as the source, and say how to open it.

    `width`, `height` and `fps` are asked of a device and used for the demo; files and network
    cameras have their own. `loop` plays files again and again. Raises SourceError, one
    sentence, where opening could never work. The function returned raises SourceAwayError while
    a camera does not answer.
    """
    text = f"/dev/video{source}" if str(source).isdecimal() else str(source)

    def demo() -> Source:
        return DemoSource(width=width, height=height, fps=fps)

    def device(path: str) -> Source:
        return Device(path, width=width, height=height, fps=fps)

    if text == "auto":
        return FirstCamera(devices=capture_devices, open_device=device, otherwise=demo)
    if text == "demo":
        return demo
    if "://" in text:
        _check_url(text)
        return lambda: Network(text)
    path = Path(text).expanduser()
    if path.is_relative_to("/dev"):
        _check_device(path)
        return lambda: device(str(path))
    return _file_opener(path, loop=loop)


class FirstCamera:
    """Opens the first device that delivers a picture, else the demo.

    Once a camera has run, the demo never takes its place: a lost camera is lost. It may come
    back under another number.
    """

    def __init__(
        self,
        *,
        devices: Callable[[], list[Path]],
        open_device: Callable[[str], Source],
        otherwise: OpenSource,
    ) -> None:
        self._devices = devices
        self._open_device = open_device
        self._otherwise = otherwise
        self._had_camera = False

    def __call__(self) -> Source:
        for path in self._devices():
            source = _delivering(partial(self._open_device, str(path)))
            if source is not None:
                self._had_camera = True
                return source
        if self._had_camera:
            raise SourceAwayError("no camera on this machine delivers a picture")
        log.info("no camera on this machine delivers a picture: showing the built-in demo")
        return self._otherwise()


def _delivering(open_source: OpenSource) -> Source | None:
    """The source, if it opens and delivers a picture soon; a driver that hangs is left behind."""
    found: queue.SimpleQueue[Source | None] = queue.SimpleQueue()
    given_up = threading.Event()

    def probe() -> None:
        try:
            source = open_source()
        except SourceAwayError:
            found.put(None)
            return
        delivers = source.read() is not None
        if delivers and not given_up.is_set():
            found.put(source)
        else:
            source.close()
            found.put(None)

    threading.Thread(target=probe, name="camera-probe", daemon=True).start()
    try:
        return found.get(timeout=_PROBE_S)
    except queue.Empty:
        given_up.set()
        return None


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
            '/dev/video0, an rtsp:// or http:// address, "auto" or "demo"'
        )
    if not path.is_dir() and path.suffix.lower() not in IMAGE_SUFFIXES:
        VideoFile(path, loop=loop).close()
        return lambda: VideoFile(path, loop=loop)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    images = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        kinds = " ".join(sorted(IMAGE_SUFFIXES))
        raise SourceError(f"the folder {path} has no image in it: put some there ({kinds})")
    return lambda: ImageFiles(str(path), images, loop=loop)
