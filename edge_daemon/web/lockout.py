"""Failures to sign in by address in, how long that address has to wait out."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

FREE: Final = 5  # failures before the first wait
FIRST_S: Final = 1.0  # doubles with each further failure
LONGEST_S: Final = 300.0
ADDRESSES: Final = 1000  # remembered; the one that failed least recently is forgotten first


class Lockout:
    """Makes who guesses wrong wait, ever longer. Times are `time.monotonic()` seconds."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, address: str, now_s: float) -> float:
        """How long `address` has yet to wait; 0 where it may try."""
        _, until_s = self._failures.get(_network(address), (0, 0.0))
        return max(0.0, until_s - now_s)

    def failed(self, address: str, now_s: float) -> None:
        """Count a wrong password or token."""
        network = _network(address)
        count = self._failures.pop(network, (0, 0.0))[0] + 1
        wait_s = min(FIRST_S * 2 ** (count - FREE), LONGEST_S) if count >= FREE else 0.0
        self._failures[network] = (count, now_s + wait_s)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        self._failures.pop(_network(address), None)


def _network(address: str) -> str:
    """The address, or for IPv6 the /64 of which one machine has all addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
