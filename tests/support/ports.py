"""Ports for programs that cannot be told to take any free one, or that come back on theirs."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

# Below those that Linux hands out (ip_local_port_range begins at 32,768): no connection and no
# server on port 0 takes one of these before its program does, or while the program restarts.
FIRST, LAST = 10_000, 32_000


def free_port() -> int:
    """Return a port on which nothing listens."""
    while True:
        port = random.randint(FIRST, LAST)
        with suppress(OSError), socket.create_server(("", port)):
            return port
