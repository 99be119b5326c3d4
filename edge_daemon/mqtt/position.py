"""How far the broker has the events: a small file beside the log, which is the queue.

The file is not synced: a power cut costs the last half minute of it, and what was sent then is sent
again, marked so.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_daemon.core.files import replace_file
from edge_daemon.core.types import rfc3339

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Position:
    """The id of the last event the broker has acknowledged, and of the last one sent.

    `sent` is "" if all that was sent is acknowledged.
    """

    acknowledged: str
    sent: str = ""


class PositionFile:
    """Keeps the position of a broker over restarts.

    A process that is killed while it is connected does not say what it has sent: then all events
    from before the start of the next may have been.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reported = False

    def load(self) -> Position:
        """What was saved; at the first start, now: what was before is nobody's news."""
        now = f"{rfc3339(datetime.now(UTC))}/"
        try:
            values = json.loads(self._path.read_bytes())
            acknowledged, sent = str(values["acknowledged"]), values["sent"]
        except FileNotFoundError:
            return Position(now)
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("%s: cannot be read; all events of the log are sent", self._path)
            return Position("", now)
        return Position(acknowledged, now if sent is None else str(sent))

    def save(self, position: Position, *, connected: bool) -> None:
        """Replace what was saved. A disk that fails costs repeated events, not the daemon."""
        values = asdict(position) | ({"sent": None} if connected else {})
        try:
            replace_file(self._path, f"{json.dumps(values)}\n".encode(), sync=False)
        except OSError as error:
            if not self._reported:
                log.warning("%s: cannot be written: %s", self._path, error.strerror)
            self._reported = True
        else:
            self._reported = False
