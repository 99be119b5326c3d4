"""The configuration's sections about what is kept: events, snapshots and totals."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from edge_daemon.config.sections import PATH, Section, restart

Seconds = Annotated[float, Field(ge=0, le=3600)]
Days = Annotated[float, Field(ge=0, le=3650)]
Megabytes = Annotated[float, Field(ge=0.01, le=1_000_000)]
SnapshotType = Literal[
    "face_start", "face_end", "expression_start", "expression_change", "expression_end"
]


class EventsConfig(Section):
    """Which events are logged, and where."""

    path: Annotated[str, Field(min_length=1)] = Field(
        "events.jsonl",
        description="The log file, one JSON object per line; - is standard output.",
        json_schema_extra=PATH
        | restart("the log is also the queue of events that are still to be published"),
    )
    dwell_s: Seconds = Field(
        0.5, description="A face is logged once it has been there for this long."
    )
    cooldown_s: Seconds = Field(
        1.0,
        description=(
            "Changes of a face's expression are logged at most once in this time; after it, the "
            "current expression is logged."
        ),
    )
    update_s: Seconds = Field(
        10.0,
        description=(
            "A face with no other event for this long gets a face_update; 0 turns these off."
        ),
    )
    rotate_mb: Megabytes = Field(
        10.0,
        description=(
            "At this size, or a third of keep_mb if that is less, the log is renamed to "
            "events.000001.jsonl.gz and a new one is started."
        ),
    )
    rotate_h: Annotated[float, Field(ge=0, le=8760)] = Field(
        24.0,
        description="The log is also rotated when its first event is this old; 0 never.",
    )
    keep_mb: Megabytes = Field(
        100.0, description="All log files together stay below this; the oldest are deleted."
    )
    keep_days: Days = Field(
        30.0, description="Rotated files are deleted at this age; 0 keeps them up to keep_mb."
    )
    fsync: Literal["always", "every_second", "never"] = Field(
        "every_second",
        description=(
            "When events are forced to the disk. A power cut loses the events since then; killing "
            "the daemon loses none."
        ),
    )
    ram_dir: str = Field(
        "",
        description=(
            "A folder in RAM, such as /run/mien, that collects events to spare an SD card; empty "
            "writes them to path at once."
        ),
        json_schema_extra=PATH | restart("events that are still in it would be left behind"),
    )
    ram_flush_s: Annotated[float, Field(ge=1, le=86400)] = Field(
        900.0,
        description=(
            "Events in ram_dir are written to path this often, on SIGHUP and when the daemon "
            "stops; a power cut loses later ones."
        ),
    )


class SnapshotsConfig(Section):
    """Pictures of events on disk. Nothing else ever writes a picture."""

    enabled: bool = Field(False, description="Write pictures of events.")
    path: Annotated[str, Field(min_length=1)] = Field(
        "snapshots",
        description="The folder for pictures; only the daemon's user can read them.",
        json_schema_extra=PATH,
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


class HistoryConfig(Section):
    """Totals of the events by minute, hour and day, in a database beside the log."""

    enabled: bool = Field(
        True,
        description="Keep totals.",
        json_schema_extra=restart("its thread counts from the start"),
    )
    time_zone: str = Field(
        "",
        description="Time zone of days and hours, such as Europe/Berlin; empty is the system's.",
    )
    least_faces: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="Periods with fewer faces are hidden in answers; 0 hides none."
    )

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            if name:
                ZoneInfo(name)
        except (OSError, ValueError, KeyError):  # KeyError: ZoneInfoNotFoundError
            raise ValueError(
                f"{name!r} is not a known time zone; name one such as Europe/Berlin"
            ) from None
        return name
