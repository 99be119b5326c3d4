"""Reads pictures and videos and returns a record of the faces in each picture.

The frames of a video go through the daemon's pipeline, so that faces keep their ids and labels are
as steady as with a camera. In a still picture each face has its highest-scoring label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from edge_daemon.batch.copies import CopyError, VideoCopy, write_picture
from edge_daemon.batch.files import Job, Unreadable
from edge_daemon.capture.sources import SourceError, TimedImage
from edge_daemon.core.frame import Picture
from edge_daemon.core.picture import DecodedPicture, PictureRefused, decode_picture
from edge_daemon.core.types import Box, Detection, Drawing, Face, Frame, ImageBgr, View
from edge_daemon.draw.annotate import annotate
from edge_daemon.pipeline.hindsight import Hindsight
from edge_daemon.pipeline.pipeline import Pipeline
from edge_daemon.pipeline.privacy import BlurAreas
from edge_daemon.vision.still import StillReader

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)  # a video's time counts from its beginning
MAX_PICTURE_BYTES: Final = 1_000_000_000
MAX_PICTURE_PIXELS: Final = 256_000_000  # the largest sensors of telephones have 200 megapixels
REDUCED_PIXELS: Final = 64_000_000  # larger pictures are reduced before they are searched


@dataclass(frozen=True, slots=True)
class Record:
    """The faces of one picture; of a video, `frame` counts from 0 and `time_s` is its time.

    Boxes are in pixels of `size`, the file's own width and height.
    """

    file: str
    size: tuple[int, int]
    faces: tuple[Face, ...]
    frame: int | None = None
    time_s: float | None = None


Result = Record | Unreadable


class FileReader:
    """Reads one file after the other; `build_pipeline` builds a new pipeline for each video.

    `drawing` describes how copies are drawn. `detect` finds further areas to blur in a picture,
    including doubtful faces. `close` frees the resources of all parts.
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
        """Yield the records of a file, then an Unreadable if it could not be read to its end.

        An annotated copy that could not be written yields another Unreadable.

        Raises no exception, so that a bad file does not end the batch.
        """
        count = 0
        try:
            for record in self._picture(job) if job.kind == "picture" else self._video(job):
                yield record
                count += 1
        except SourceError as error:
            yield Unreadable(str(error), is_partly_read=count > 0)
        except CopyError as error:
            yield Unreadable(str(error))
        except PictureRefused as error:
            yield Unreadable(f"{job.name}: {error}")
        except OSError as error:
            yield Unreadable(f"{error.filename or job.name}: {error.strerror or error}")
        except MemoryError:
            yield Unreadable(f"{job.name}: it needs more memory than is free")
        except Exception as error:  # decoders and runtimes raise anything on damaged files
            first_line = str(error).strip().partition("\n")[0]
            yield Unreadable(f"{job.name}: {type(error).__name__}: {first_line}")

    def _picture(self, job: Job) -> Iterator[Record]:
        size = job.path.stat().st_size
        if not size:
            raise OSError("the file is empty")
        if size > MAX_PICTURE_BYTES:
            limit = MAX_PICTURE_BYTES // 1_000_000
            raise OSError(f"the file is larger than {limit} MB, the limit for a picture")
        picture = decode_picture(
            job.path.read_bytes(), max_pixels=MAX_PICTURE_PIXELS, reduced_pixels=REDUCED_PIXELS
        )
        view = self._stills.view(picture.bgr)
        yield Record(job.name, picture.size, _in_own_pixels(view.faces, picture))
        if job.copy is not None:
            write_picture(job.copy, annotate(self._drawn(view)))

    def _drawn(self, view: View) -> View:
        """Return `view` with the drawing, and with areas to blur if the drawing blurs faces."""
        if not self._drawing.blur:
            return replace(view, drawing=self._drawing)
        doubtful = self._detect(view.frame.bgr)
        known = [Detection(face.box, face.detection_score) for face in view.faces]
        areas = BlurAreas().update([*doubtful, *known], (), 0.0)
        return replace(view, blur_areas=areas, drawing=self._drawing)

    def _video(self, job: Job) -> Iterator[Result]:
        job.path.open("rb").close()  # raises OSError with the reason if the file cannot be read
        from edge_daemon.capture.video import VideoFile  # noqa: PLC0415 (pictures need no PyAV)

        video = VideoFile(job.path, name=job.name)
        pipeline = self._build_pipeline()
        copy = None if job.copy is None else VideoCopy(job.copy, video.fps)
        try:
            for view in _completed(pipeline, video.frames(), keep_pictures=copy is not None):
                if copy is not None:
                    copy.put(view)
                yield Record(
                    job.name,
                    view.frame.size,
                    view.faces,
                    frame=view.frame.id - 1,
                    time_s=round(view.frame.captured_s, 3),
                )
        finally:
            if copy is not None:
                copy.close()
        if copy is not None and copy.failure is not None:
            yield Unreadable(str(copy.failure))


def _completed(
    pipeline: Pipeline, images: Iterable[TimedImage], *, keep_pictures: bool
) -> Iterator[View]:
    """Process `images`; yield their views, whose faces are completed from later images.

    Without `keep_pictures`, the pictures of the views are black and take no memory.
    """
    hindsight = Hindsight()
    try:
        for number, image in enumerate(images):
            view = pipeline.process(_frame(number, image))
            if not keep_pictures:
                view = replace(view, frame=replace(view.frame, picture=_no_picture(image.picture)))
            yield from hindsight.put(view)
    except Exception:  # the frames before the damage are still reported
        yield from hindsight.flush()
        raise
    yield from hindsight.flush()


def _frame(number: int, image: TimedImage) -> Frame:
    time_s = image.time_s or 0.0
    return Frame(number + 1, image.picture, time_s, EPOCH + timedelta(seconds=time_s))


def _no_picture(picture: Picture) -> Picture:
    """Return a black picture of the same size that takes no memory."""
    width, height = picture.size
    return Picture(np.broadcast_to(np.uint8(0), (height, width, 3)))


def _in_own_pixels(faces: Sequence[Face], picture: DecodedPicture) -> tuple[Face, ...]:
    """Scale the boxes of a reduced picture to the pixels of its file."""
    return tuple(
        replace(face, box=Box(*(value * picture.scale for value in face.box))) for face in faces
    )
