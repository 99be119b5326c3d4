"""The values that pass between stages and threads: frames, boxes, detections, faces, views.

All are frozen; their arrays are not written after hand-over. Coordinates are pixels of the
captured frame, x to the right and y down, the origin at the top-left corner of the top-left
pixel. Times ending in `_s` are `time.monotonic()` seconds, times ending in `_at` are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edge_daemon.core.frame import Picture

ImageBgr = NDArray[np.uint8]  # (height, width, 3), blue first, as OpenCV has it
ImageGray = NDArray[np.uint8]  # (height, width)
Scores = NDArray[np.float32]  # (classes,), sums to 1

UNCERTAIN: Final = "uncertain"  # the label of a face whose scores name no expression clearly

# The stages whose times are in /state and /metrics.
STAGES: Final = ("detect", "track", "classify", "publish")
ENCODE: Final = "encode"  # drawing a view and compressing it to JPEG
FRAME: Final = "frame"  # a whole frame, from its capture to its view


class Point(NamedTuple):
    """A position in pixels."""

    x: float
    y: float


class Box(NamedTuple):
    """An axis-aligned rectangle in pixels; it may reach beyond the frame."""

    x: float
    y: float
    w: float
    h: float

    @property
    def center(self) -> Point:
        return Point(self.x + self.w / 2, self.y + self.h / 2)

    @property
    def area(self) -> float:
        return max(self.w, 0.0) * max(self.h, 0.0)

    def iou(self, other: Box) -> float:
        """Intersection over union with `other`, 0 to 1."""
        inter = self.shared_area(other)
        return inter / (self.area + other.area - inter) if inter > 0 else 0.0

    def shared_area(self, other: Box) -> float:
        """Return the area of the intersection with `other`."""
        x, y, w, h = self
        left, top, other_w, other_h = other
        right, bottom = left + other_w, top + other_h
        if x >= right or left >= x + w or y >= bottom or top >= y + h:
            return 0.0  # most boxes are apart, and comparing costs less than `min` and `max`
        shared_w = min(x + w, right) - max(x, left)
        shared_h = min(y + h, bottom) - max(y, top)
        return shared_w * shared_h if shared_w > 0 and shared_h > 0 else 0.0


class Eyes(NamedTuple):
    """Eye centers by their side in the picture: `left` has the smaller x on an upright face."""

    left: Point
    right: Point


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from the camera; `id` counts every frame captured since the start."""

    id: int
    picture: Picture
    captured_s: float
    captured_at: datetime

    @property
    def bgr(self) -> ImageBgr:
        """The whole picture, decoded. Raises PictureRefused."""
        return self.picture.bgr

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.picture.size


@dataclass(frozen=True, slots=True)
class Detection:
    """A face found in one frame; `eyes` is None if the detector finds no keypoints."""

    box: Box
    score: float
    eyes: Eyes | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """A face followed over frames under one `id`.

    `seen` is True when this frame's detections matched it, False while it is only predicted.
    """

    id: int
    box: Box
    score: float
    eyes: Eyes | None
    seen: bool
    first_seen_s: float
    last_seen_s: float


@dataclass(frozen=True, slots=True)
class Face:
    """A confirmed track with its smoothed expression.

    `label` is one of the model's labels, "uncertain", or "" until the first label is confirmed.
    `score` is the label's smoothed score; without a label, the highest. `scores` holds all of them
    in the model's order and is empty before the first classification. `since_s` is when the face
    took this label. `detection_score` is the detector's score. `seen` is False in a frame in which
    the face is only predicted.
    """

    id: int
    box: Box
    label: str
    score: float
    scores: tuple[float, ...]
    since_s: float
    detection_score: float = 0.0
    seen: bool = True


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a view is drawn.

    `labels` name the scores in the model's order. `quality` is the JPEG quality, 1 to 100. `blur`
    makes faces unrecognizable. Without `show`, a plain card replaces the camera's picture.
    """

    labels: tuple[str, ...] = ()
    quality: int = 80
    blur: bool = False
    show: bool = True


@dataclass(frozen=True, slots=True)
class View:
    """One processed frame, ready to be drawn or described.

    `notice` is "" while the camera delivers; otherwise it says why the camera does not, and `frame`
    holds the last picture or a plain card. `blur_areas` are the areas where faces may be.
    """

    frame: Frame
    faces: tuple[Face, ...] = ()
    notice: str = ""
    blur_areas: tuple[Box, ...] = ()
    drawing: Drawing = Drawing()

    def as_dict(self) -> dict[str, Any]:
        """Return the faces as values for JSON, in pixels of the frame."""
        return {
            "time": rfc3339(self.frame.captured_at),
            "size": list(self.frame.size),
            "notice": self.notice,
            "faces": [self._face(face) for face in self.faces],
        }

    def _face(self, face: Face) -> dict[str, Any]:
        scores = zip(self.drawing.labels, face.scores, strict=False)
        return {
            "id": face.id,
            "label": face.label,
            "score": round(face.score, 3),
            "scores": {name: round(score, 3) for name, score in scores},
            "box": [round(value, 1) for value in face.box],
            "detection_score": round(face.detection_score, 3),
            "since_s": round(self.frame.captured_s - face.since_s, 1),
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """The pipeline's progress: running averages, and counts since the start.

    `turns` grows while the pipeline's thread lives, with or without frames. One frame in
    `detector_interval` is searched for faces, which takes `search_s`. `faces` is the number of
    faces in the newest frame.
    """

    turns: int = 0
    frames: int = 0
    interval_s: float = 0.0
    latency_s: float = 0.0
    search_s: float = 0.0
    detector_interval: int = 1
    faces: int = 0

    @property
    def fps(self) -> float:
        """Processed frames per second, 0 before the second frame."""
        return 1 / self.interval_s if self.interval_s else 0.0


@dataclass(frozen=True, slots=True)
class Command:
    """A request, made while the daemon runs, to set the configuration key `key` to `value`."""

    key: str
    value: object


def rfc3339(at: datetime) -> str:
    """Format a time as UTC with milliseconds, as in 2026-01-31T12:00:00.250Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
