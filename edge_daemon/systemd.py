"""What systemd and the daemon say to each other, over the socket in NOTIFY_SOCKET.

The protocol is sd_notify(3): datagrams of KEY=value lines. Without the socket all is a no-op.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Supervisor:
    """Sends readiness, watchdog signs and status lines to systemd, where it started us."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """Say so before a reload, and `ready` after it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now_us}")

    def alive(self, status: str) -> None:
        """A watchdog sign with a status line; send it only on real progress."""
        self._send(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
            peer.connect(self._address)
            peer.sendall(message.encode())
