"""Slows down clients that guess passwords or tokens, without locking out the owner."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

FREE: Final = 5  # failures before the first wait
FIRST_S: Final = 1.0  # doubles with each further failure
LONGEST_S: Final = 300.0
CHECK_S: Final = 3.0  # between two passwords that are checked for a locked address
LONGEST_QUEUE_S: Final = 2 * CHECK_S
ADDRESSES: Final = 1000  # remembered; the one that failed least recently is forgotten first


@dataclass(slots=True)
class _Failures:
    count: int = 0
    locked_until_s: float = 0.0
    next_check_s: float = 0.0


class Lockout:
    """Counts failures by client address. Times are `time.monotonic()` seconds.

    An address is locked after FREE failures, for twice as long after each further one. Passwords
    from a locked address are still checked, but only one in CHECK_S. So a user who shares the
    address with an attacker (behind a router or a proxy) can sign in, and guessing stays slow.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def locked_s(self, address: str, now_s: float) -> float:
        """Return how long `address` stays locked; 0 if it is not."""
        found = self._failures.get(_network(address))
        return max(0.0, found.locked_until_s - now_s) if found else 0.0

    def is_crowded(self, address: str, now_s: float) -> bool:
        """Return whether too many passwords from `address` are waiting to be checked."""
        if not self.locked_s(address, now_s):
            return False
        return self._failures[_network(address)].next_check_s - now_s > LONGEST_QUEUE_S

    def check_in_s(self, address: str, now_s: float) -> float | None:
        """Return how long a password from `address` has to wait until it is checked.

        None means that too many are waiting. The call takes a place in the queue.
        """
        if self.is_crowded(address, now_s):
            return None
        if not self.locked_s(address, now_s):
            return 0.0
        found = self._failures[_network(address)]
        check_s = max(now_s, found.next_check_s)
        found.next_check_s = check_s + CHECK_S
        return check_s - now_s

    def failed(self, address: str, now_s: float) -> int:
        """Count a wrong password or token; return how many there have been."""
        network = _network(address)
        found = self._failures.setdefault(network, _Failures())
        self._failures.move_to_end(network)
        found.count += 1
        if found.count >= FREE:
            doublings = min(found.count - FREE, 16)
            found.locked_until_s = now_s + min(FIRST_S * 2**doublings, LONGEST_S)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
        return found.count

    def succeeded(self, address: str) -> None:
        """Forget the failures of `address`."""
        self._failures.pop(_network(address), None)


def _network(address: str) -> str:
    """Return an IPv4 address, or the /64 of an IPv6 one, which a single machine may use whole."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
