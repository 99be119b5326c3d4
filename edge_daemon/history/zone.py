"""The time zone of days and hours."""

from __future__ import annotations

from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

LOCAL_ZONE: Final = Path("/etc/localtime")


def zone_named(name: str) -> tzinfo:
    """Return the time zone `name`, or the system's if it is empty. Raises ZoneInfoNotFoundError."""
    if name:
        return ZoneInfo(name)
    try:
        with LOCAL_ZONE.open("rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except (OSError, ValueError):
        return datetime.now().astimezone().tzinfo or ZoneInfo("UTC")
