"""How model updates are doing, for /state and /metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UpdateState = Literal["waiting", "current", "trying", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """How updates are doing: `version` of the fetched model is in use or being tried.

    `reason` says why the newest was `refused`, taken back included, or that the publisher or the
    disk `failed`, which is tried again.
    """

    state: UpdateState = "waiting"
    version: int | None = None
    reason: str = ""
