"""An HTTP client for cameras: log-in, redirects, TLS, and a time limit for each whole answer.

Cameras break rules that the standard library enforces: they send ICY status lines, malformed header
lines, or hundreds of them. Everything they send is limited in size, and cleaned before it is shown.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
import time
import zlib
from contextlib import ExitStack
from typing import Any, Final

from edge_daemon.capture.address import CameraAddress
from edge_daemon.capture.login import Authorization, Challenge, parse_challenges
from edge_daemon.capture.sources import SourceAwayError, SourceError
from edge_daemon.capture.wire import BUFFER_BYTES, Deadline, Wire
from edge_daemon.core.errors import reason_of

_WITH_BODY: Final = frozenset(range(200, 300)) - {204, 205}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_MOST_LOG_INS: Final = 3  # if the camera calls its own challenge outdated
_LONGEST_WORDS: Final = 80


class HttpClient:
    """Requests one address again and again, each time over a new connection.

    `timeout_s` limits `get` as a whole, with log-in and redirects. `tls_verify` is whether
    certificates are checked, or the SHA-256 fingerprint of the one that is accepted.
    """

    def __init__(
        self, address: CameraAddress, *, timeout_s: float, tls_verify: bool | str = True
    ) -> None:
        self.name = address.shown
        self._address = address
        self._timeout_s = timeout_s
        self._tls_verify = tls_verify
        self._authorization = Authorization()

    def get(self) -> HttpAnswer:
        """Return the answer with a body. Raises SourceAwayError for any other answer."""
        address, redirects, log_ins = self._address, 0, 0
        deadline = Deadline(time.monotonic() + self._timeout_s)
        while True:
            answer = self._request(address, deadline)
            status = answer.status
            if status in _WITH_BODY:
                return answer
            answer.close()
            if status in _REDIRECTS and redirects < _MOST_REDIRECTS:
                address, redirects = self._redirected(address, answer), redirects + 1
                log_ins = 0
            elif status == http.client.UNAUTHORIZED and address.user is not None:
                self._log_in(answer, log_ins)
                log_ins += 1
            elif status == http.client.UNAUTHORIZED:
                raise SourceAwayError(
                    f"{self.name} asks for a user name and password: write them as "
                    f"{address.scheme}://USER:PASSWORD@HOST/…"
                )
            else:
                words = f"{status} {self._shown(answer.reason)}".rstrip()
                raise SourceAwayError(f"{self.name} answers {words}")

    def _request(self, address: CameraAddress, deadline: Deadline) -> HttpAnswer:
        with ExitStack() as opened:
            try:
                answer = self._open(address, deadline, opened)
            except TimeoutError as error:
                sentence = f"does not answer within {self._timeout_s:g} s"
                raise SourceAwayError(f"{self.name} {sentence}") from error
            except ssl.SSLCertVerificationError as error:
                raise SourceAwayError(
                    f"{self.name} has a certificate that is not trusted "
                    f"({self._shown(reason_of(error))}): set camera.tls_verify to its SHA-256 "
                    f"fingerprint, {_fingerprint_of(address, self._timeout_s)}"
                ) from error
            except ssl.SSLError as error:
                hint = "; camera.tls_verify: false accepts it" if _is_outdated(error) else ""
                sentence = f"cannot be reached by TLS: {self._shown(reason_of(error))}{hint}"
                raise SourceAwayError(f"{self.name} {sentence}") from error
            except (http.client.HTTPException, ValueError) as error:
                sentence = f"does not answer as HTTP does: {self._shown(reason_of(error))}"
                raise SourceAwayError(f"{self.name} {sentence}") from error
            except SourceAwayError:
                raise
            except OSError as error:
                sentence = f"does not answer: {self._shown(reason_of(error))}"
                raise SourceAwayError(f"{self.name} {sentence}") from error
            opened.pop_all()
        return answer

    def _open(self, address: CameraAddress, deadline: Deadline, opened: ExitStack) -> HttpAnswer:
        """Send the request and read the header of the answer; `opened` closes what was opened."""
        connection = _connection(address, deadline.left_s(), self._tls_verify)
        opened.callback(connection.close)
        connection.connect()
        if isinstance(self._tls_verify, str) and address.is_secure:
            self._check_fingerprint(_fingerprint(connection.sock), self._tls_verify)
        wire = Wire(connection.sock, deadline)
        response = http.client.HTTPResponse(wire, method="GET")  # type: ignore[arg-type]
        opened.callback(response.close)
        connection.request("GET", address.path, headers=self._headers(address))
        response.begin()
        return HttpAnswer(connection, response, wire, deadline)

    def _check_fingerprint(self, found: str, wanted: str) -> None:
        if found != wanted.replace(":", "").lower():
            raise SourceAwayError(
                f"{self.name} has a certificate with another fingerprint than "
                f"camera.tls_verify: {found}"
            )

    def _headers(self, address: CameraAddress) -> dict[str, str | bytes]:
        headers: dict[str, str | bytes] = {
            "Host": re.sub("%[^]]*", "", address.authority),  # a zone is this machine's own
            "User-Agent": "Mien",
            "Accept": "*/*",
            "Connection": "close",
        }
        if authorization := self._authorization.header(address):
            headers["Authorization"] = authorization.encode()  # a user name in any script
        return headers

    def _redirected(self, address: CameraAddress, answer: HttpAnswer) -> CameraAddress:
        try:
            target = address.redirected(answer.header("Location"))
        except (SourceError, ValueError) as error:
            raise SourceAwayError(
                f"{self.name} redirects to an address that cannot be read"
            ) from error
        if not target.scheme.startswith("http"):
            raise SourceAwayError(
                f"{self.name} redirects to {target.shown}: name that as camera.source"
            )
        return target

    def _log_in(self, answer: HttpAnswer, log_ins: int) -> None:
        """Prepare the answer to a challenge. Raises SourceAwayError if the log-in is impossible."""
        challenges = answer.challenges
        is_stale = any(values.get("stale", "").lower() == "true" for _, values in challenges)
        if log_ins and not (is_stale and log_ins < _MOST_LOG_INS):
            raise SourceAwayError(f"{self.name} refuses the user name or the password")
        if unsupported := self._authorization.choose(challenges):
            raise SourceAwayError(
                f"{self.name} asks for a log-in of a kind that is not supported "
                f"({self._shown(unsupported)}): choose Basic or Digest in its settings"
            )

    def _shown(self, words: str) -> str:
        """Return the camera's `words` without secrets, which a camera may repeat."""
        return cleaned(self._address.without_secrets(words))


class HttpAnswer:
    """An answer whose header has been read; `receive` reads its body."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        wire: Wire,
        deadline: Deadline,
    ) -> None:
        self._connection, self._response, self._wire = connection, response, wire
        self._deadline = deadline
        self._is_bare = False  # whether the next bytes on the wire are the body's, as they are
        self.status, self.reason = response.status, response.reason
        self._promised = self._received = 0
        if self.content_type.startswith(("multipart/", "image/")):
            # Often too small, or 0. A stream ends when the camera closes it.
            self._promised, response.length = response.length or 0, None
        is_packed = self.header("Content-Encoding").lower() in {"gzip", "x-gzip", "deflate"}
        self._unpack = zlib.decompressobj(wbits=47) if is_packed else None  # either header

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; "" if none is given."""
        if not self.header("Content-Type"):
            return ""
        return cleaned(self._response.headers.get_content_type())

    @property
    def challenges(self) -> list[Challenge]:
        """The log-in methods that the camera offers."""
        values = self._response.headers.get_all("WWW-Authenticate") or []
        return parse_challenges([_text(value) for value in values])

    def header(self, name: str) -> str:
        """Return the value of a header; "" if there is none."""
        return str(self._response.headers.get(name) or "")

    @property
    def is_complete(self) -> bool:
        """Whether as many bytes as were promised have come; False where none were."""
        return 0 < self._promised <= self._received

    def receive(self, timeout_s: float, least: int = 1) -> bytes:
        """Return the next bytes of the body; b"" at its end, or if the connection broke.

        It may wait until `least` bytes have come. Raises TimeoutError if they have not after
        `timeout_s`.
        """
        try:
            wire = self._wire
            data = wire.receive(timeout_s, least) if self._is_bare else self._read(timeout_s)
        except TimeoutError:
            raise
        except (OSError, ValueError, http.client.HTTPException, zlib.error):
            return b""  # reset, or a broken chunk
        self._received += len(data)
        return data

    def _read(self, timeout_s: float) -> bytes:
        """Return the next bytes through all layers of HTTP."""
        self._deadline.at_s = time.monotonic() + timeout_s
        if self._unpack is not None:
            return self._unpacked(self._unpack)
        data = self._response.read1(BUFFER_BYTES)  # with it, what came with the header
        self._is_bare = not self._response.chunked and self._response.length is None
        return data

    def _unpacked(self, unpack: zlib._Decompress) -> bytes:
        """Return the next decompressed bytes, at most BUFFER_BYTES."""
        while True:
            packed = unpack.unconsumed_tail or self._response.read1(BUFFER_BYTES)
            if not packed:
                return b""
            if data := unpack.decompress(packed, BUFFER_BYTES):
                return data

    def close(self) -> None:
        self._response.close()
        self._connection.close()


def cleaned(text: str) -> str:
    """Return a camera's text in a form fit for logs: printable, on one line, and short."""
    words = "".join(c if c.isprintable() else " " for c in text[: 4 * _LONGEST_WORDS])
    words = " ".join(words.split())
    return words if len(words) <= _LONGEST_WORDS else words[:_LONGEST_WORDS] + "…"


def _text(value: str) -> str:
    """Return a header's value on one line; bytes beyond ASCII are read as UTF-8 if possible."""
    line = " ".join(value.split())
    try:
        return line.encode("latin-1").decode()
    except UnicodeError:
        return line


def _connection(
    address: CameraAddress, timeout_s: float, tls_verify: bool | str
) -> http.client.HTTPConnection:
    if not address.is_secure:
        return http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
    context = ssl.create_default_context()
    if tls_verify is not True:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # Cameras of the years before 2015 know nothing better.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    return http.client.HTTPSConnection(
        address.host, address.port, timeout=timeout_s, context=context
    )


def _is_outdated(error: ssl.SSLError) -> bool:
    """Return whether the camera's encryption is too old to be accepted without being asked."""
    words = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "TOO_SMALL", "HANDSHAKE_FAILURE")
    return any(word in (error.reason or "") for word in words)


def _fingerprint(sock: Any) -> str:
    """Return the SHA-256 of the peer's certificate; `sock` is an SSLSocket."""
    return hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()


def _fingerprint_of(address: CameraAddress, timeout_s: float) -> str:
    """Connect without verification; return the certificate's fingerprint, for a message."""
    connection = _connection(address, timeout_s, tls_verify=False)
    try:
        connection.connect()
        return _fingerprint(connection.sock)
    except OSError:
        return "which it did not show again"
    finally:
        connection.close()
