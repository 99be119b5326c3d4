"""File reader: a picture or a video file in, a record of each picture's faces out.

A video goes through the daemon's own frame path, every frame of it, so that its faces keep their
ids and its labels are as steady as a camera's. In a picture each face has the label that scores
highest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_daemon.capture.sources import IMAGE_SUFFIXES, SourceError, TimedImage
from edge_daemon.core.types import Detection, Drawing, Face, Frame, ImageBgr, View
from edge_daemon.draw.annotate import annotate
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.pipeline.privacy import BlurAreas, ViewDelay
from edge_daemon.vision.still import StillReader

# What a folder is searched for beside images; a file that is named itself may be called anything.
VIDEO_SUFFIXES: Final = frozenset(
    {".avi", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}
)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)  # a video's time counts from its beginning


@dataclass(frozen=True, slots=True)
class Job:
    """A file to read: `name` as it was asked for, `path` where it is on any machine that reads it,
    `copy` where its annotated copy goes, if it is wanted."""

    name: str
    path: Path
    copy: Path | None = None

    @property
    def is_image(self) -> bool:
        return self.path.suffix.lower() in IMAGE_SUFFIXES


@dataclass(frozen=True, slots=True)
class Record:
    """The faces of one picture; of a video, `frame` counts from 0 and `time_s` is its time."""

    file: str
    size: tuple[int, int]
    faces: tuple[Face, ...]
    frame: int | None = None
    time_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that was skipped, or of which the rest was, in one sentence."""

    reason: str


Result = Record | Unreadable


class FileReader:
    """Reads one file after the other; `build_pipeline` makes a new one for each video.

    Copies are drawn as `drawing` says; `detect` finds what is to be blurred in a picture. `close`
    frees what the parts hold.
    """

    def __init__(
        self,
        *,
        drawing: Drawing,
        detect: Callable[[ImageBgr], Sequence[Detection]],
        stills: StillReader,
        build_pipeline: Callable[[], Pipeline],
        close: Callable[[], None],
    ) -> None:
        self.labels = drawing.labels
        self._drawing, self._detect = drawing, detect
        self._stills = stills
        self._build_pipeline = build_pipeline
        self.close = close

    def read(self, job: Job) -> Iterator[Result]:
        """The records of the file, and last what went wrong, if something did."""
        try:
            yield from self._picture(job) if job.is_image else self._video(job)
        except SourceError as error:
            yield Unreadable(str(error))
        except OSError as error:
            yield Unreadable(f"{error.filename or job.name}: {error.strerror or error}")

    def _picture(self, job: Job) -> Iterator[Record]:
        bgr = decoded(job.path.read_bytes())
        if bgr is None:
            raise SourceError(f"{job.name} is not an image that OpenCV can read")
        view = self._stills.view(bgr)
        if job.copy is not None:
            _write_picture(job.copy, annotate(self._drawn(view)))
        yield Record(job.name, _size(bgr), view.faces)

    def _drawn(self, view: View) -> View:
        """`view` with its drawing, and the areas to blur where faces are to be blurred."""
        found = self._detect(view.frame.bgr) if self._drawing.blur else ()
        return replace(view, blur_areas=BlurAreas().update(found, (), 0.0), drawing=self._drawing)

    def _video(self, job: Job) -> Iterator[Record]:
        job.path.open("rb").close()  # says why, if it cannot be read
        from edge_daemon.capture.video import VideoFile  # noqa: PLC0415 (pictures need no PyAV)

        video = VideoFile(job.path, name=job.name)
        copy = None if job.copy is None else _VideoCopy(job.copy, video.fps)
        pipeline = self._build_pipeline()
        try:
            for number, image in enumerate(video.frames()):
                view = pipeline.process(_frame(number, image))
                if copy is not None:
                    copy.put(view)
                yield _record(job, view, number)
        finally:
            if copy is not None:
                copy.close()


def decoded(content: bytes) -> ImageBgr | None:
    """The picture in `content`, upright by its EXIF; None if there is none."""
    if not content:
        return None
    try:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # more pixels than OpenCV takes
        return None
    return None if bgr is None else np.asarray(bgr, np.uint8)


def _frame(number: int, image: TimedImage) -> Frame:
    time_s = image.time_s or 0.0
    return Frame(number + 1, image.bgr, time_s, EPOCH + timedelta(seconds=time_s))


def _record(job: Job, view: View, number: int) -> Record:
    time_s = round(view.frame.captured_s, 3)
    return Record(job.name, _size(view.frame.bgr), view.faces, number, time_s)


def _size(bgr: ImageBgr) -> tuple[int, int]:
    height, width = bgr.shape[:2]
    return width, height


def _write_picture(path: Path, bgr: ImageBgr) -> None:
    """In the format that the name's suffix says."""
    ok, content = cv2.imencode(path.suffix.lower(), bgr)
    if not ok:
        raise OSError(f"{path}: OpenCV could not encode the picture")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.tobytes())


class _VideoCopy:
    """An MPEG-4 file without sound, of the size of its first frame, drawn as the stream is."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._delay = ViewDelay()

    def put(self, view: View) -> None:
        for shown in self._delay.put(view):
            self._write(annotate(shown))

    def _write(self, bgr: ImageBgr) -> None:
        if self._writer is None:
            self._size = _size(bgr)
            self._writer = self._open()
        if _size(bgr) != self._size:
            bgr = np.asarray(cv2.resize(bgr, self._size), np.uint8)
        self._writer.write(bgr)

    def close(self) -> None:
        for shown in self._delay.flush():
            self._write(annotate(shown))
        if self._writer is not None:
            self._writer.release()

    def _open(self) -> cv2.VideoWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        code = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(self._path), code, self._fps, self._size)
        if not writer.isOpened():
            raise OSError(f"{self._path}: the annotated copy cannot be written")
        return writer
