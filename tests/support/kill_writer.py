"""Writes numbered events to the real log as fast as possible, until a test kills the process.

It prints the number of each event that is in the log. When it is killed, at most the event after
the last printed one is being written. Arguments: the log, and its folder in RAM or "".
"""

from __future__ import annotations

import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from edge_daemon.core.slots import Backlog
from edge_daemon.events.events import Event
from edge_daemon.events.ram import RamLog
from edge_daemon.events.rotating import LogPolicy, RotatingLog
from edge_daemon.events.writer import EventLog


def main(path: Path, ram: str) -> None:
    policy = LogPolicy(rotate_bytes=20_000, keep_bytes=100e6, flush_s=0.02)
    disk = RotatingLog(path, policy)
    backlog: Backlog[Event] = Backlog(10)
    log = EventLog(path, RamLog(Path(ram), disk) if ram else disk, backlog)
    threading.Thread(target=log.run, daemon=True).start()
    run = os.getpid()
    for n in range(1, sys.maxsize):
        backlog.put(Event(datetime.now(UTC), "n", {"run": run, "n": n, "text": "x" * 200}))
        while log.status.written < n:
            pass
        os.write(1, f"{n}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
