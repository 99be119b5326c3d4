"""HTTP cameras: an address in, the pictures of its MJPEG stream out.

Read here and not by OpenCV's FFmpeg because that shows half a picture where the stream broke off,
stretches every picture to the size of the first, and says of any failure no more than False.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from email.message import Message
from urllib.parse import unquote, urlsplit, urlunsplit

import cv2
import numpy as np

from edge_daemon.capture.multipart import Multipart, NotMultipartError
from edge_daemon.capture.sources import Network, Source, SourceAwayError, TimedImage, redacted

_TIMEOUT_S = 5.0
_CHUNK_BYTES = 65_536


def open_http(url: str) -> Source:
    """Open whatever `url` serves: MJPEG is read here, other video by FFmpeg.

    Raises SourceAwayError, which says what the camera answered.
    """
    answer = _answer(url)
    if answer.headers.get_content_maintype() == "multipart":
        return HttpCamera(redacted(url), answer)
    answer.close()
    return Network(url)


class HttpCamera:
    """The pictures of a multipart answer; those that arrive damaged are left out."""

    fps = None
    mode = "MJPEG"

    def __init__(self, name: str, answer: http.client.HTTPResponse) -> None:
        self.name = name
        self._answer = answer
        self._parts = Multipart(_boundary(name, answer.headers))

    def read(self) -> TimedImage | None:
        deadline_s = time.monotonic() + _TIMEOUT_S
        try:
            while time.monotonic() < deadline_s:
                jpeg = self._parts.next()
                if jpeg is not None:
                    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
                    if bgr is not None:
                        return TimedImage(np.asarray(bgr, np.uint8))
                elif not self._receive():
                    return None
        except NotMultipartError as error:
            raise SourceAwayError(f"{self.name} {error}") from error
        raise SourceAwayError(f"{self.name} sends no picture that can be decoded")

    def close(self) -> None:
        self._answer.close()

    def _receive(self) -> bool:
        """Take what has arrived; False at the end. SourceAwayError inside a picture."""
        try:
            data = self._answer.read1(_CHUNK_BYTES)
        except TimeoutError as error:
            raise SourceAwayError(f"{self.name} sent nothing for {_TIMEOUT_S:g} s") from error
        except (OSError, http.client.HTTPException):  # reset by the peer, or a cut chunk
            data = b""
        if not data and self._parts.inside:
            raise SourceAwayError(f"{self.name} broke off in the middle of a picture")
        self._parts.feed(data)
        return bool(data)


def _answer(url: str) -> http.client.HTTPResponse:
    """Ask for `url` with the user name and password in it; no proxy, cameras are near."""
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        passwords.add_password(None, bare, unquote(parts.username), unquote(parts.password or ""))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPDigestAuthHandler(passwords),
        urllib.request.HTTPBasicAuthHandler(passwords),
    )
    name = redacted(url)
    try:
        answer: http.client.HTTPResponse = opener.open(bare, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        raise SourceAwayError(f"{name} {_refusal(error, parts.username)}") from error
    except urllib.error.URLError as error:
        why = getattr(error.reason, "strerror", None) or error.reason
        raise SourceAwayError(f"{name} does not answer: {why}") from error
    except TimeoutError as error:
        raise SourceAwayError(f"{name} does not answer within {_TIMEOUT_S:g} s") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SourceAwayError(f"{name} does not answer as HTTP does: {error}") from error
    return answer


def _refusal(error: urllib.error.HTTPError, user: str | None) -> str:
    if error.code != http.HTTPStatus.UNAUTHORIZED:
        return f"answers {error.code} {error.reason}"
    if user is None:
        return "asks for a user name and password: write them as http://USER:PASSWORD@HOST/…"
    return "refuses the user name or the password"


def _boundary(name: str, headers: Message) -> str:
    boundary = headers.get_param("boundary", "")
    if not isinstance(boundary, str) or not boundary:
        raise SourceAwayError(f"{name} names no boundary between its pictures")
    return boundary
