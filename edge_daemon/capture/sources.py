"""The sources of frames: their common interface, the demo, and files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from edge_daemon.capture.demo.scene import Demo
from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.frame import COARSEST, Picture, read_picture
from edge_daemon.core.picture import PictureRefused
from edge_daemon.core.picture_header import picture_format

IMAGE_SUFFIXES: Final = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})

_MJPEG_SUFFIXES: Final = frozenset({".mjpeg", ".mjpg"})  # videos that begin as a JPEG does
_IMAGE_FPS, _IMAGE_FRAMES = 5.0, 15  # each picture is shown for 3 s, long enough for a label
_HEADER_BYTES: Final = 512
_MOST_PIXELS: Final = 8_300_000  # 3840×2160; larger pictures are reduced
_MOST_NAMES: Final = 5

log = logging.getLogger(__name__)


class SourceError(UserError):
    """A source cannot work as it is configured."""


class SourceAwayError(OSError):
    """A source is unavailable now, but may come back."""


class SourceSilentError(SourceAwayError):
    """A source is open but delivers no picture."""


@dataclass(frozen=True, slots=True)
class TimedImage:
    """A picture of a source; `time_s` is its time on the source's own clock, None without one."""

    picture: Picture
    time_s: float | None = None


class Source(Protocol):
    """A source of pictures, read by one thread."""

    @property
    def name(self) -> str:
        """The source's name for logs, without user names, passwords and keys."""

    @property
    def fps(self) -> float | None:
        """The rate at which to read it; None for a live camera, which sets the rate itself."""

    @property
    def mode(self) -> str:
        """The format or rate of its pictures, for the log; may be empty."""

    def read(self) -> TimedImage | None:
        """Return the next picture, in new memory each time; None at the end of the stream.

        May block for as long as the driver does. Raises SourceAwayError for a camera that fails,
        SourceError for a file that cannot be read.
        """

    def close(self) -> None:
        """Release the device or connection."""


OpenSource = Callable[[], Source]


class DemoSource:
    """The built-in demo scene."""

    name = "demo"
    mode = ""

    def __init__(self, *, width: int, height: int, fps: float) -> None:
        self.fps = fps
        self._demo = Demo(width, height)
        self._count = 0

    def read(self) -> TimedImage:
        time_s = self._count / self.fps
        self._count += 1
        return TimedImage(Picture(self._demo.render(time_s)), time_s)

    def close(self) -> None:
        pass


class PictureFiles:
    """A picture, or the pictures in a folder by name, each shown for a few seconds.

    A folder is listed again after its last picture, so that new files are found. Pictures that
    cannot be decoded are skipped with a warning; without `loop` they are an error at the end.
    """

    fps = _IMAGE_FPS
    mode = ""

    def __init__(self, path: Path, *, loop: bool) -> None:
        self.name = str(path)
        self._path, self._loop = path, loop
        self._pictures = self._load_all()
        self._shown: Picture | None = None
        self._left = 0

    def read(self) -> TimedImage | None:
        if self._left == 0:
            self._shown = next(self._pictures, None)
            self._left = _IMAGE_FRAMES
        self._left -= 1
        return None if self._shown is None else TimedImage(self._shown)

    def close(self) -> None:
        pass

    def _load_all(self) -> Iterator[Picture]:
        """Yield the pictures in order.

        Raises SourceError at the end if some could not be decoded; with `loop`, SourceAwayError if
        there is no picture left.
        """
        done: set[Path] = set()
        broken: dict[Path, str] = {}
        while paths := [p for p in self._paths() if p not in done]:
            has_shown = False
            for path in paths:
                picture = self._picture(path, broken)
                if picture is not None:
                    has_shown = True
                    yield picture
            if not self._loop:
                done.update(paths)
            elif not has_shown:
                break
        if broken:
            raise (SourceAwayError if self._loop else SourceError)(self._complaint(broken))
        if self._loop:
            raise SourceAwayError(f"{self._path} contains no picture any more: put one there")

    def _picture(self, path: Path, broken: dict[Path, str]) -> Picture | None:
        """Return the picture; None if it is gone or damaged. Damaged ones are put in `broken`."""
        try:
            picture = read_picture(path.read_bytes(), reduced_pixels=_MOST_PIXELS)
            picture.reduced(COARSEST)  # to see whether it can be decoded
        except FileNotFoundError:  # removed since the folder was listed
            broken.pop(path, None)
            return None
        except (OSError, PictureRefused) as error:
            if path not in broken:
                log.warning("%s is skipped: %s", path, reason_of(error))
            broken[path] = reason_of(error)
            return None
        broken.pop(path, None)
        return picture

    def _paths(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        return sorted(p for p in self._path.iterdir() if is_picture(p))

    def _complaint(self, broken: dict[Path, str]) -> str:
        if self._path in broken:
            return f"{self._path} cannot be read as a picture: {broken[self._path]}"
        names = ", ".join(sorted(path.name for path in broken)[:_MOST_NAMES])
        more = ", …" if len(broken) > _MOST_NAMES else ""
        return f"{len(broken)} files in {self._path} cannot be read as pictures: {names}{more}"


class VideoSource:
    """A video file, played once or, with `loop`, again and again.

    Raises SourceError if it cannot be decoded; without `loop`, also at its end if it is cut off.
    """

    fps: float
    mode = ""

    def __init__(self, path: Path, *, loop: bool) -> None:
        from edge_daemon.capture.video import VideoFile  # noqa: PLC0415 (loads FFmpeg)

        self.name = str(path)
        self._file = VideoFile(path)
        self.fps = self._file.fps
        self._loop = loop
        self._frames = self._file.frames()
        self._is_warned = self._has_played = False
        self._start_s = self._last_s = 0.0

    def read(self) -> TimedImage | None:
        image = self._next()
        if image is None and self._loop:
            self._start_s = self._last_s + 1 / self.fps
            self._frames = self._file.frames()
            image = self._next()
            if image is None:
                raise SourceAwayError(f"{self.name} cannot be played again")
        if image is None:
            return None
        self._has_played = True
        self._last_s = self._start_s + (image.time_s or 0.0)
        return TimedImage(image.picture, self._last_s)

    def close(self) -> None:
        self._frames.close()

    def _next(self) -> TimedImage | None:
        try:
            return next(self._frames, None)
        except SourceError as error:
            if not (self._loop and self._has_played):
                raise
            if not self._is_warned:
                log.warning("%s", error)
                self._is_warned = True
            return None


def is_picture(path: Path) -> bool:
    """Return whether a file is a picture by its content, or claims to be one by its name."""
    suffix = path.suffix.lower()
    if path.name.startswith(".") or suffix in _MJPEG_SUFFIXES or not path.is_file():
        return False
    if suffix in IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return picture_format(file.read(_HEADER_BYTES)) is not None
    except OSError:
        return False
