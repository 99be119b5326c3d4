"""The configuration's sections about pictures and faces, from the camera to the stream."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Fraction = Annotated[float, Field(ge=0, le=1)]

# Marks a key as a path: relative ones are resolved against the configuration file's folder.
PATH: Final[dict[str, Any]] = {"is_path": True}


def restart(reason: str) -> dict[str, Any]:
    """Mark a key as one that a reload cannot change, because of `reason`."""
    return {"needs_restart": reason}


class Section(BaseModel):
    """A mapping that accepts only known keys, with values of the right type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @field_validator("*")
    @classmethod
    def _without_nul(cls, value: object, info: ValidationInfo) -> object:
        """Refuse NUL, which no path, name or address may contain."""
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"{info.field_name} contains a NUL character")
        return value


class CameraConfig(Section):
    """Where pictures come from. A change opens the camera again."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        "camera", description="The camera's name in events and on the page."
    )
    source: str | Annotated[int, Field(ge=0)] = Field(
        "auto",
        description=(
            "auto (the first camera that delivers, else the demo), demo, a device (0, "
            "/dev/video0), picamera (picamera:1 is the second), a video file, a folder of "
            "pictures, or an rtsp:// or http:// address."
        ),
        json_schema_extra=PATH,
    )
    width: Annotated[int, Field(ge=16, le=7680)] = Field(
        640, description="Picture width requested from a camera device, in pixels."
    )
    height: Annotated[int, Field(ge=16, le=4320)] = Field(
        480, description="Picture height requested from a camera device, in pixels."
    )
    fps: Annotated[float, Field(ge=0.01, le=240)] = Field(
        15.0,
        description=(
            "Frame rate requested from a camera device; also the demo's rate, and how often an "
            "address that serves one picture is polled."
        ),
    )
    pixel_format: Annotated[str, Field(pattern="^(auto|[A-Z0-9][A-Z0-9 ]{2,3})$")] = Field(
        "auto",
        description=(
            "Pixel format requested from a camera device, as its driver names it (MJPG, YUYV, "
            "Y16); auto is MJPG where fps cannot be reached without it."
        ),
    )
    controls: dict[str, bool | int | float | list[float]] = Field(
        {},
        description=(
            "Settings of a camera device, set in this order when it is opened: V4L2's as v4l2-ctl "
            "names them, as in {auto_exposure: 1, exposure_time_absolute: 200}, or picamera2's."
        ),
    )
    rotate: Literal[0, 90, 180, 270] = Field(
        0, description="Degrees by which every picture is rotated clockwise, before all else."
    )
    mirror: bool = Field(
        False, description="Whether left and right are exchanged, after the rotation."
    )
    timeout_s: Annotated[float, Field(ge=0.5, le=600)] = Field(
        5.0,
        description=(
            "Without a new frame for this long the camera is lost and opened again; also how long "
            "a network camera may take to answer."
        ),
    )
    tls_verify: bool | Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$")] = (
        Field(
            True,
            description=(
                "Whether the certificate of an https:// or rtsps:// camera is checked; for "
                "https:// also the SHA-256 fingerprint of the certificate that is accepted."
            ),
        )
    )
    check_frozen: bool = Field(
        True,
        description=(
            "Whether a camera is lost when every bit of its picture stays the same for timeout_s, "
            "unless its stream has timestamps; turn it off for one that shows a still picture."
        ),
    )
    loop: bool = Field(True, description="Whether a file or folder starts again at its end.")
    lossless: bool = Field(
        False, description="Whether a file waits for the pipeline, so that no frame is skipped."
    )

    @property
    def picture_size(self) -> tuple[int, int]:
        """The requested width and height, as they are after the rotation."""
        sideways = self.rotate in {90, 270}
        return (self.height, self.width) if sideways else (self.width, self.height)


class DetectorConfig(Section):
    """How faces are found."""

    backend: Literal["auto", "blazeface", "mediapipe", "haar"] = Field(
        "auto",
        description="The detector; auto is blazeface if its file is there, else haar.",
    )
    range: Literal["both", "full", "short"] = Field(
        "both",
        description=(
            "BlazeFace's networks: both together find faces of any size; full or short alone "
            "searches only the whole picture, for faces of about 7 to 50 or 20 to 100 percent of "
            "its longer side."
        ),
    )
    reach: Literal["auto", "near", "far"] = Field(
        "auto",
        description=(
            "With range both, the faces of a video that are found besides medium ones: close ones "
            "(near), small ones (far, which takes more time), or both in turn (auto)."
        ),
    )
    min_score: Fraction = Field(0.5, description="Detections with a lower score are dropped.")
    interval: Literal["auto"] | Annotated[int, Field(ge=1, le=60)] = Field(
        "auto",
        description=(
            "One frame in this many is searched for faces, at least two within "
            "tracker.max_age_s; auto searches about 15 times a second, or as often as a slow "
            "board can without losing frames."
        ),
    )
    idle_hz: Annotated[float, Field(ge=0.5, le=60)] = Field(
        2.5,
        description=(
            "Searches a second while there is no face and nothing moves, if interval is auto; "
            "motion or a face raises the rate at once."
        ),
    )
    max_faces: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="At most this many faces of a frame are classified, the largest first."
    )
    min_face_px: Annotated[int, Field(ge=0, le=4320)] = Field(
        24, description="Smaller faces are tracked and shown, but not classified."
    )


class TrackerConfig(Section):
    """How faces are tracked from frame to frame."""

    max_age_s: Annotated[float, Field(gt=0, le=60)] = Field(
        1.0, description="A face that was not found for this long has left."
    )


class SmoothingConfig(Section):
    """How scores of single frames become a steady expression."""

    half_life_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.4, description="Age at which a frame's scores count half; 0 uses each frame alone."
    )
    min_score: Fraction = Field(
        0.4, description="Below this smoothed score the expression is uncertain."
    )
    label_min_scores: dict[str, Fraction] = Field(
        {}, description="Another min_score for single labels, as in {disgust: 0.6, fear: 0.5}."
    )
    min_margin: Fraction = Field(
        0.1, description="With a smaller lead over the second label it is uncertain as well."
    )
    hysteresis: Fraction = Field(
        0.1, description="Added to the score of the current expression before it is compared."
    )
    dwell_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.4, description="A new expression must last this long before it counts."
    )
    calibration: bool = Field(
        False,
        description=(
            "Whether scores are corrected by a face at rest that was recorded on the page or with "
            "`mien calibrate`; see docs/calibration.md."
        ),
    )


class PrivacyConfig(Section):
    """What is shown of the people in front of the camera."""

    blur_faces: bool = Field(
        False,
        description=(
            "Blur faces by a coarse mosaic in the stream, in stills and in snapshots; every frame "
            "is then searched, and shown half a second late."
        ),
    )
    stream: bool = Field(
        True,
        description="Show the camera's picture; off shows a plain card to everybody.",
    )
    pause: bool = Field(
        False,
        description="Process and show no frames; all faces end.",
    )
    masks: list[list[Fraction]] = Field(
        [],
        description=(
            "Parts of the camera's picture that are black before it is searched and wherever it is "
            "shown, in shares of its width and height: [x, y, width, height] of a rectangle, or "
            "[x1, y1, x2, y2, x3, y3, ...] of a polygon's corners."
        ),
    )

    @field_validator("masks")
    @classmethod
    def _have_corners(cls, masks: list[list[float]]) -> list[list[float]]:
        for mask in masks:
            if len(mask) < 4 or len(mask) % 2:
                raise ValueError(
                    f"privacy.masks: {mask} has {len(mask)} numbers; a rectangle has 4, a polygon "
                    "2 for each of its 3 or more corners"
                )
        return masks


class StreamConfig(Section):
    """The annotated MJPEG stream."""

    quality: Annotated[int, Field(ge=1, le=100)] = Field(80, description="JPEG quality.")
