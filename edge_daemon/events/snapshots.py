"""Writes pictures of events to a folder, within limits of size and age.

This is the only module that writes pictures, and it gets none unless `snapshots.enabled` is set.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_daemon.core.errors import reason_of
from edge_daemon.core.files import PART, replace_file
from edge_daemon.core.slots import Backlog, Latest
from edge_daemon.core.types import View
from edge_daemon.draw.annotate import annotate
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.events.archive import Retention
from edge_daemon.events.events import Event

PRUNE_S: Final = 3600.0  # how often old pictures are deleted when no new ones come

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shot:
    """An event and the view in which it happened."""

    event: Event
    view: View


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """All pictures together stay below `keep_bytes`; each is kept for `keep_s` (0: any time)."""

    keep_bytes: float
    keep_s: float


class SnapshotWriter:
    """Writes shots to `folder` by `policy`, which may be replaced at any time.

    The pictures are drawn like those of the stream, with faces blurred if the stream's are. A disk
    that fails only loses pictures; `reason` then says why, and is "" otherwise. Each written
    picture also goes to `pictures`, as JPEG.
    """

    def __init__(
        self,
        folder: Path,
        policy: SnapshotPolicy,
        shots: Backlog[Shot],
        pictures: Latest[bytes] | None = None,
    ) -> None:
        self.policy = policy
        self.written = self.failed = 0  # since the start
        self.reason = ""
        self._folder = folder
        self._shots = shots
        self._pictures = pictures
        self._retention = Retention(self._files)
        self._prune_at_s = 0.0

    def adopt(self, folder: Path, policy: SnapshotPolicy) -> None:
        """Use another folder and policy from the next picture on; may be called by any thread."""
        self._folder, self.policy = folder, policy

    def run(self) -> None:
        """Write shots until their backlog is closed and empty: the body of the thread."""
        while not self._shots.drained:
            shot = self._shots.get(max(self._prune_at_s - time.monotonic(), 0.0))
            try:
                if shot is not None:
                    self._write(shot)
                if shot is not None or time.monotonic() >= self._prune_at_s:
                    self._prune()
            except OSError as error:
                self.failed += shot is not None
                is_other = isinstance(error, FileExistsError | NotADirectoryError)
                reason = (
                    "it is not a folder; set snapshots.path to one"
                    if is_other
                    else reason_of(error)
                )
                self._set_reason(f"snapshots cannot be kept in {self._folder}: {reason}")
            else:
                self.written += shot is not None
                self._set_reason("" if shot is not None else self.reason)

    def _write(self, shot: Shot) -> None:
        """Write the picture; only the user can read it."""
        jpeg = encode_jpeg(annotate(shot.view), quality=shot.view.drawing.quality)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self._folder / _name(shot.event)
        replace_file(target, jpeg, mode=0o600, sync=False)
        if self._pictures is not None:
            self._pictures.put(jpeg)

    def _prune(self) -> None:
        self._prune_at_s = time.monotonic() + PRUNE_S
        for torn in self._folder.glob(f"*-face*{PART}"):
            torn.unlink()
        policy = self.policy
        self._retention.prune(keep_bytes=policy.keep_bytes, keep_s=policy.keep_s)

    def _files(self) -> list[Path]:
        """Return the pictures, oldest first."""
        return sorted(self._folder.glob("*-face*.jpg"), key=lambda file: file.stat().st_mtime_ns)

    def _set_reason(self, reason: str) -> None:
        if reason and not self.reason:
            log.warning("%s", reason)
        self.reason = reason


def _name(event: Event) -> str:
    """Return the name of an event's picture: 20260131T120000.250Z-face3-expression_start.jpg."""
    at = f"{event.at:%Y%m%dT%H%M%S}.{event.at.microsecond // 1000:03}Z"
    return f"{at}-face{event.fields['face']}-{event.type}.jpg"
