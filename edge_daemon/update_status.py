"""How model updates are doing, for /state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """How updates are doing; `reason` says why the last one tried was `refused` or `failed`."""

    state: Literal["waiting", "current", "trying", "refused", "failed"] = "waiting"
    version: int | None = None
    reason: str = ""
