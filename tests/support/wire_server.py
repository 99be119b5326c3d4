"""A server that sends exactly the bytes of a test, for cameras that deviate from HTTP."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from collections.abc import Callable, Iterable
from urllib.request import parse_http_list, parse_keqv_list

from support.loopback_server import TcpServer

Answer = Callable[[str], Iterable[bytes]]  # from the request's head to what is sent


class WireServer(TcpServer):
    """Calls `answer` with the head of each request, sends the bytes it yields, and closes."""

    def __init__(self, answer: Answer, *, tls: ssl.SSLContext | None = None) -> None:
        self.answer, self._tls = answer, tls
        super().__init__()

    def url(self, login: str = "", path: str = "/cam.mjpg") -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{login}127.0.0.1:{self.port}{path}"

    def serve(self, client: socket.socket) -> None:
        with client:
            try:
                if self._tls is not None:
                    client = self._tls.wrap_socket(client, server_side=True)
                head = b""
                while b"\r\n\r\n" not in head:
                    received = client.recv(4096)
                    if not received:
                        return
                    head += received
                self.requests.append(head.decode("latin-1"))
                for data in self.answer(self.requests[-1]):
                    client.sendall(data)
            except OSError:
                pass  # the client has gone, or refuses the certificate
            finally:
                client.close()


def header(request: str, name: str) -> str:
    """Return the value of a header of the request; "" if there is none."""
    match = re.search(rf"^{name}: *(.*)\r$", request, re.MULTILINE | re.IGNORECASE)
    return match[1] if match else ""


def is_digest_right(request: str, *, user: str, password: str, nonce: str) -> bool:
    """Return whether the request answers a digest challenge (RFC 7616, 3.4.1)."""
    scheme, _, rest = header(request, "Authorization").partition(" ")
    if scheme != "Digest":
        return False
    given = parse_keqv_list(parse_http_list(rest))
    algorithm = given.get("algorithm", "MD5").upper()
    name = algorithm.removesuffix("-SESS").replace("SHA-512-256", "SHA512_256").replace("-", "")

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    secret = digest(f"{user}:{given['realm']}:{password}")
    if algorithm.endswith("SESS"):
        secret = digest(f"{secret}:{nonce}:{given['cnonce']}")
    if given.get("userhash") == "true":
        user = digest(f"{user}:{given['realm']}")
    qop = given.get("qop", "")
    middle = f":{given['nc']}:{given['cnonce']}:{qop}" if qop else ""
    target = digest(f"GET:{given['uri']}" + (f":{digest('')}" if qop == "auth-int" else ""))
    expected = digest(f"{secret}:{nonce}{middle}:{target}")
    path = request.split()[1]
    named = {name: given[name] for name in ("response", "nonce", "uri", "username")}
    return named == {"response": expected, "nonce": nonce, "uri": path, "username": user}
