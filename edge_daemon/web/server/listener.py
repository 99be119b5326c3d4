"""The listening socket: its address, its certificate and how many connections fit."""

from __future__ import annotations

import errno
import logging
import resource
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gevent import ssl as gevent_ssl

from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.files import check_regular, no_passphrase

BACKLOG: Final = 128  # connections the kernel holds until they are accepted
MIN_CONNECTIONS: Final = 8
RESERVED_FILES: Final = 128  # for cameras, models, the log, snapshots and the broker
IP_FREEBIND: Final = 15  # ip(7)
IPV6_FREEBIND: Final = 78  # linux/in6.h

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a certificate with its chain, and of its key, both PEM."""

    certificate: Path
    key: Path


class CertificateError(UserError):
    """The files for TLS cannot be used; the message names them."""


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Load the files of `tls`. Raises CertificateError."""
    context: ssl.SSLContext = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        check_regular(tls.certificate, tls.key)
        context.load_cert_chain(tls.certificate, tls.key, no_passphrase)
    except OSError as error:
        is_other = isinstance(error, ssl.SSLError)
        reason = "they are not a certificate and its key" if is_other else reason_of(error)
        files = error.filename or f"{tls.certificate} and {tls.key}"
        raise CertificateError(f"{files} cannot be used: {reason}.") from None
    return context


def listen(host: str, port: int) -> socket.socket:
    """Return a non-blocking socket that listens on `host`:`port`. Raises OSError.

    `::` also listens for IPv4. An address that this machine does not have yet, because DHCP or a
    VPN brings it later, is bound in advance.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        _bind(listener, address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _bind(listener: socket.socket, address: tuple[object, ...]) -> None:
    try:
        listener.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        level, option = (
            (socket.IPPROTO_IPV6, IPV6_FREEBIND)
            if listener.family == socket.AF_INET6
            else (socket.IPPROTO_IP, IP_FREEBIND)
        )
        listener.setsockopt(level, option, 1)
        listener.bind(address)
        log.warning(
            "web: this machine does not have the address %s yet; the page can be opened once it "
            "has. If it never will, correct web.host.",
            address[0],
        )


def address_to_open(host: str) -> str:
    """Return an address under which a browser finds a server that listens on `host`.

    That is `host` itself. If `host` stands for all addresses, it is the address that this machine
    uses to reach others.
    """
    if host not in {"0.0.0.0", "::"}:  # noqa: S104
        return host
    # Addresses that RFC 5737 and RFC 3849 keep unused; connecting a UDP socket sends nothing.
    for family, other in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((other, 9))
            address: str = probe.getsockname()[0]
            return address
    return "127.0.0.1"  # not connected to any network


def connection_limit(wanted: int) -> int:
    """Return `wanted`, or less if the process may not have that many open files.

    RESERVED_FILES are left for the rest of the daemon.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(MIN_CONNECTIONS, soft - RESERVED_FILES))
