"""What is seen, reported and kept: the sections of the configuration from camera to stream."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=3600)]
Days = Annotated[float, Field(ge=0, le=3650)]
Megabytes = Annotated[float, Field(ge=0.01, le=1_000_000)]
SnapshotType = Literal[
    "face_start", "face_end", "expression_start", "expression_change", "expression_end"
]


class Section(BaseModel):
    """A mapping whose keys are all known and whose values have the type they say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CameraConfig(Section):
    """Where pictures come from."""

    name: Annotated[str, Field(min_length=1)] = Field(
        "camera", description="The camera's name in events and on the page."
    )
    source: str | Annotated[int, Field(ge=0)] = Field(
        "auto",
        description=(
            "auto (the first camera that delivers, else the demo), demo, a device (0, "
            "/dev/video0), picamera (picamera:1 is the second), a video file, a directory of "
            "images, or an rtsp:// or http:// URL."
        ),
    )
    width: Annotated[int, Field(ge=16, le=7680)] = Field(
        640, description="Picture width asked of a camera device, in pixels."
    )
    height: Annotated[int, Field(ge=16, le=4320)] = Field(
        480, description="Picture height asked of a camera device, in pixels."
    )
    fps: Annotated[float, Field(gt=0, le=240)] = Field(
        15.0, description="Frames a second asked of a camera device, and the demo's rate."
    )
    pixel_format: Annotated[str, Field(pattern="^(auto|[A-Z0-9]{4})$")] = Field(
        "auto",
        description=(
            "Asked of a camera device, as its driver names it (MJPG, YUYV); auto is MJPG where "
            "fps cannot be had without it."
        ),
    )
    timeout_s: Annotated[float, Field(ge=0.5, le=600)] = Field(
        5.0, description="Without a new frame for this long the camera is lost and opened again."
    )
    check_frozen: bool = Field(
        True,
        description=(
            "A camera whose picture stays the same to the last bit for timeout_s is lost too; "
            "turn it off for one that shows a still picture."
        ),
    )
    loop: bool = Field(True, description="Start a file or directory again at its end.")
    lossless: bool = Field(
        False, description="Let a file wait for the pipeline, so that no frame is skipped."
    )


class DetectorConfig(Section):
    """How faces are found."""

    backend: Literal["auto", "blazeface", "mediapipe", "haar"] = Field(
        "auto",
        description="auto is blazeface where its file is at hand, else haar.",
    )
    range: Literal["full", "short"] = Field(
        "full",
        description=(
            "BlazeFace's network: full finds faces from some 50 pixels at 640×480, short from 90, "
            "at less than half the cost."
        ),
    )
    min_score: Fraction = Field(0.5, description="Detections scored lower are dropped.")
    interval: Literal["auto"] | Annotated[int, Field(ge=1, le=60)] = Field(
        "auto",
        description=(
            "Faces are looked for in every so many frames, at least twice within "
            "tracker.max_age_s; auto is some 15 times a second, or as often as a slow board can "
            "and keep the frame rate."
        ),
    )
    max_faces: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="At most this many faces are classified a frame, the largest first."
    )
    min_face_px: Annotated[int, Field(ge=0, le=4320)] = Field(
        24, description="Faces smaller than this are followed and shown, but not classified."
    )


class TrackerConfig(Section):
    """How faces are followed from frame to frame."""

    max_age_s: Annotated[float, Field(gt=0, le=60)] = Field(
        1.0, description="A face not seen for this long has left."
    )


class SmoothingConfig(Section):
    """How scores of single frames become a steady expression."""

    half_life_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.4, description="Age at which a frame's scores weigh half; 0 takes each frame as it is."
    )
    min_score: Fraction = Field(
        0.4, description="Below this smoothed score the expression is uncertain."
    )
    label_min_scores: dict[str, Fraction] = Field(
        {}, description="Another min_score for single labels, as in {disgust: 0.6, fear: 0.5}."
    )
    min_margin: Fraction = Field(
        0.1, description="A lead over the second class smaller than this is uncertain too."
    )
    hysteresis: Fraction = Field(
        0.1, description="Added to the score of the expression that holds before it is compared."
    )
    dwell_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.4, description="A new expression must last this long before it counts."
    )


class EventsConfig(Section):
    """What is reported, and the log it is written to."""

    path: Annotated[str, Field(min_length=1)] = Field(
        "events.jsonl", description="The log file, one JSON object a line."
    )
    dwell_s: Seconds = Field(
        0.5, description="A face is reported once it has been there for this long."
    )
    cooldown_s: Seconds = Field(
        1.0,
        description=(
            "A face's expression is reported at most once in this time; what it is at the end "
            "of it counts."
        ),
    )
    update_s: Seconds = Field(
        10.0,
        description=(
            "A face of which nothing else was reported for this long is reported as it is "
            "(face_update); 0 never."
        ),
    )
    rotate_mb: Megabytes = Field(
        10.0,
        description=(
            "The log is put aside as events.000001.jsonl.gz and begun anew at this size, or at a "
            "third of keep_mb where that is less."
        ),
    )
    rotate_h: Annotated[float, Field(ge=0, le=8760)] = Field(
        24.0, description="And when its first event is this many hours old; 0 by size alone."
    )
    keep_mb: Megabytes = Field(
        100.0, description="All log files together stay below this; the oldest are deleted."
    )
    keep_days: Days = Field(
        30.0, description="Files put aside are deleted at this age; 0 keeps them up to keep_mb."
    )
    fsync: Literal["always", "every_second", "never"] = Field(
        "every_second",
        description=(
            "When the disk itself must have an event: after each, within a second, or when the "
            "system likes. It decides what a power cut costs; a killed daemon loses none of them."
        ),
    )
    ram_dir: str = Field(
        "",
        description=(
            "A folder in RAM, such as /run/mien, where events are gathered to spare an SD "
            "card; empty writes them to path at once."
        ),
    )
    ram_flush_s: Annotated[float, Field(ge=1, le=86400)] = Field(
        900.0,
        description=(
            "What ram_dir holds goes to path this often, on SIGHUP and at the stop; a power cut "
            "loses what came since."
        ),
    )


class PrivacyConfig(Section):
    """What of the people in front of the camera may be shown."""

    blur_faces: bool = Field(
        False,
        description=(
            "Faces are made a coarse mosaic in the stream, in stills and in snapshots; every frame "
            "is then searched, and shown half a second late."
        ),
    )
    stream: bool = Field(
        True,
        description="off shows a plain card in place of the picture; nobody sees the camera.",
    )
    pause: bool = Field(
        False,
        description="Nothing is looked at and nothing is shown; the faces leave.",
    )


class SnapshotsConfig(Section):
    """Pictures of events on disk. Nothing else ever writes a picture."""

    enabled: bool = Field(False, description="Whether pictures are written at all.")
    path: Annotated[str, Field(min_length=1)] = Field(
        "snapshots", description="The folder they go to, readable by the daemon's user alone."
    )
    types: list[SnapshotType] = Field(
        ["expression_start", "expression_change"],
        description="The types of events that get a picture.",
    )
    keep_days: Days = Field(
        7.0, description="Pictures are deleted at this age; 0 keeps them up to keep_mb."
    )
    keep_mb: Megabytes = Field(
        100.0, description="All pictures together stay below this; the oldest are deleted."
    )


class StreamConfig(Section):
    """The annotated MJPEG stream."""

    quality: Annotated[int, Field(ge=1, le=100)] = Field(80, description="JPEG quality.")
