"""Reports the daemon's state to systemd, over the socket named in NOTIFY_SOCKET.

The protocol is sd_notify(3): datagrams of KEY=value lines. Without the variable nothing is sent.
https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

from edge_daemon.core.errors import reason_of

SEND_S: Final = 0.5  # the longest wait for room in systemd's queue
VSOCK_TYPES: Final = {
    "vsock": socket.SOCK_SEQPACKET,
    "vsock-dgram": socket.SOCK_DGRAM,
    "vsock-seqpacket": socket.SOCK_SEQPACKET,
    "vsock-stream": socket.SOCK_STREAM,
}

log = logging.getLogger(__name__)


class Supervisor:
    """Sends readiness, watchdog signals and status lines to systemd, if it started the daemon.

    A missing or full socket is logged once, and neither ends nor blocks the daemon. Messages that
    could not be sent, except for watchdog signals, are sent before the next one.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._unsent: list[str] = []
        self._reported = False

    @property
    def is_present(self) -> bool:
        """Whether the daemon was started by systemd or another program that expects messages."""
        return bool(self._address)

    def ready(self) -> None:
        """Report that the daemon is ready, at its start or after a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that a reload begins; call `ready` after it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now_us}")

    def alive(self, status: str) -> None:
        """Feed the watchdog and show `status`; call it only after real progress."""
        self._send(f"WATCHDOG=1\nSTATUS={status}", keep=False)

    def stopping(self) -> None:
        """Report that the daemon stops."""
        self._send("STOPPING=1")

    def _send(self, message: str, *, keep: bool = True) -> None:
        if not self._address:
            return
        messages = [*self._unsent, message]
        try:
            with _connected(self._address) as peer:
                while messages:
                    peer.send(messages[0].encode())
                    messages.pop(0)
        except (OSError, ValueError) as error:
            if not self._reported:
                log.warning(
                    "systemd cannot be notified: NOTIFY_SOCKET=%s: %s",
                    self._address,
                    reason_of(error),
                )
            self._reported = True
        self._unsent = messages if keep else messages[:-1]


def _connected(address: str) -> socket.socket:
    """Connect to a path, an abstract socket (@name) or a virtual machine's host (vsock:2:port)."""
    kind, _, rest = address.partition(":")
    if kind in VSOCK_TYPES:
        host, _, port = rest.partition(":")
        peer = socket.socket(socket.AF_VSOCK, VSOCK_TYPES[kind])
        target: str | tuple[int, int] = (int(host), int(port))
    else:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        target = "\0" + address[1:] if address.startswith("@") else address
    peer.settimeout(SEND_S)
    try:
        peer.connect(target)
    except BaseException:
        peer.close()
        raise
    return peer
