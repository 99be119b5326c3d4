"""Determines a request's origin: the client's address, the requested host, and the site behind it.

A proxy hides all three. Its headers X-Forwarded-For, -Host and -Proto are used only if its address
is among the trusted ones.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from flask import Request

from edge_daemon.web.server.grammar import is_host

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Origins:
    """Distinguishes this machine's names and trusted sites from others.

    `hosts` are names of this machine besides its addresses, localhost and its host name.
    `cors_origins` are sites, such as `https://dash.example`, whose scripts may use the API.
    `trusted_proxies` are addresses and networks.
    """

    def __init__(
        self, *, hosts: Sequence[str], cors_origins: Sequence[str], trusted_proxies: Sequence[str]
    ) -> None:
        own = socket.gethostname().lower()
        self._hosts = {"localhost", own, f"{own}.local", *(host.lower() for host in hosts)}
        self._cors_origins = frozenset(origin.lower().rstrip("/") for origin in cors_origins)
        self._proxies: list[Network] = [ipaddress.ip_network(each) for each in trusted_proxies]

    def client_address(self, request: Request) -> str:
        """Return the address of the client, also behind trusted proxies."""
        address = str(request.remote_addr)
        for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
            hop_address = _without_port(hop.strip())
            if not self._is_proxy(address) or not _is_address(hop_address) or "%" in hop_address:
                break
            address = hop_address
        return address

    def is_secure(self, request: Request) -> bool:
        """Return whether the client uses TLS, with this server or with a trusted proxy."""
        return request.is_secure or self._forwarded(request, "X-Forwarded-Proto") == "https"

    def is_known_host(self, request: Request) -> bool:
        """Return whether the request is for an address or a known name; HTTP/1.0 may name none."""
        hosts = (request.headers.get("Host"), self._forwarded(request, "X-Forwarded-Host"))
        return all(self._is_ours(host) for host in hosts if host)

    def is_other_site(self, request: Request) -> bool:
        """Return whether a site that is not in `cors_origins` made the browser send the request."""
        if self.cors_origin(request):
            return False
        site = request.headers.get("Sec-Fetch-Site")
        if site in {"same-origin", "none"}:
            return False
        if site is not None:  # a link from another site may open the page
            opens = request.headers.get("Sec-Fetch-Mode") == "navigate"
            document = request.headers.get("Sec-Fetch-Dest") == "document"
            return not (opens and document and request.method in SAFE_METHODS)
        origin = request.headers.get("Origin")
        if origin is None:
            return False
        hosts = (request.headers.get("Host"), self._forwarded(request, "X-Forwarded-Host"))
        return urlsplit(origin).netloc not in [host for host in hosts if host]

    def cors_origin(self, request: Request) -> str:
        """Return the request's Origin if it is among `cors_origins`, else ""."""
        origin = request.headers.get("Origin", "")
        return origin if origin.lower() in self._cors_origins else ""

    def _is_ours(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        return name in self._hosts or _is_address(name)

    def _forwarded(self, request: Request, name: str) -> str:
        """Return the header `name` of the nearest proxy, if that is trusted; else ""."""
        if not self._is_proxy(str(request.remote_addr)):
            return ""
        value = request.headers.get(name, "").rpartition(",")[2].strip()
        return value if is_host(value) else ""

    def _is_proxy(self, address: str) -> bool:
        if not self._proxies or not _is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        return any((mapped or parsed) in network for network in self._proxies)


def _without_port(hop: str) -> str:
    """Remove the port that some proxies add: 192.0.2.7:1234 or [2001:db8::7]:1234."""
    found = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?|([\d.]+):\d+", hop)
    return found[1] or found[2] if found else hop


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
