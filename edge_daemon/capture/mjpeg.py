"""HTTP cameras that send JPEG pictures, as a stream or one for each request."""

from __future__ import annotations

import time
from typing import Final

from edge_daemon.capture.address import CameraAddress
from edge_daemon.capture.http import HttpAnswer, HttpClient
from edge_daemon.capture.jpeg_splitter import JpegSplitter
from edge_daemon.capture.jpegs import CameraJpegs
from edge_daemon.capture.sources import SourceAwayError, SourceSilentError, TimedImage
from edge_daemon.core.picture import PictureRefused

_JPEG_TYPES: Final = frozenset({"image/jpeg", "image/jpg", "image/pjpeg"})
_VIDEO_TYPES: Final = ("video/", "audio/", "application/")


def open_jpegs(
    address: CameraAddress, *, timeout_s: float, fps: float, tls_verify: bool | str = True
) -> HttpCamera | None:
    """Open an HTTP camera that sends JPEG pictures; None if it sends other video.

    Raises SourceAwayError with the camera's answer if it sends neither.
    """
    client = HttpClient(address, timeout_s=timeout_s, tls_verify=tls_verify)
    answer = client.get()
    kind, start = answer.content_type, b""
    if not kind.startswith("multipart/") and kind not in _JPEG_TYPES:
        start = _receive(answer, address.shown, timeout_s)
    is_stream = kind.startswith("multipart/") or (start.lstrip().startswith(b"--"))
    if is_stream or kind in _JPEG_TYPES or start.startswith(b"\xff\xd8\xff"):
        return HttpCamera(
            client, answer, start=start, timeout_s=timeout_s, fps=None if is_stream else fps
        )
    answer.close()
    if kind and not kind.startswith(_VIDEO_TYPES):
        raise SourceAwayError(
            f"{address.shown} answers with {kind}, not with video or JPEG pictures: name the "
            "address of the camera's stream"
        )
    return None


class HttpCamera:
    """The pictures of an HTTP camera; damaged ones are dropped.

    `fps` is None for a stream. Otherwise each answer holds one picture, and the next one is
    requested `fps` times a second, or twice in `timeout_s` if that is more often.
    """

    fps = None

    def __init__(
        self,
        client: HttpClient,
        answer: HttpAnswer,
        *,
        start: bytes,
        timeout_s: float,
        fps: float | None,
    ) -> None:
        self.name = client.name
        self.mode = "MJPEG" if fps is None else f"JPEG, polled at up to {fps:g} fps"
        self._client, self._answer = client, answer
        self._timeout_s = timeout_s
        self._interval_s = None if fps is None else min(1 / fps, timeout_s / 2)
        self._requested_s = time.monotonic()
        self._splitter = JpegSplitter()
        self._pictures = CameraJpegs()
        self._splitter.feed(start)

    def read(self) -> TimedImage | None:
        deadline_s = time.monotonic() + self._timeout_s
        refusal = ""
        while time.monotonic() < deadline_s:
            jpeg = self._splitter.next()
            if jpeg is not None:
                try:
                    return TimedImage(self._pictures.picture(jpeg))
                except PictureRefused as error:
                    refusal = f": {error}"
                    continue
            is_over = self._interval_s and self._answer.is_complete and not self._splitter.inside
            data = b"" if is_over else self._receive()
            if data:
                self._splitter.feed(data)
            elif self._splitter.inside:
                raise SourceAwayError(f"{self.name} broke off in the middle of a picture")
            elif self._interval_s is None:
                return None
            else:
                self._request(self._interval_s)
                deadline_s = time.monotonic() + self._timeout_s
        raise SourceSilentError(f"{self.name} sends no picture that can be decoded{refusal}")

    def close(self) -> None:
        self._answer.close()

    def _receive(self) -> bytes:
        return _receive(self._answer, self.name, self._timeout_s, self._splitter.missing)

    def _request(self, interval_s: float) -> None:
        """Request the next picture when it is due."""
        self._answer.close()
        time.sleep(max(0.0, self._requested_s + interval_s - time.monotonic()))
        self._requested_s = time.monotonic()
        self._answer = self._client.get()


def _receive(answer: HttpAnswer, name: str, timeout_s: float, least: int = 1) -> bytes:
    try:
        return answer.receive(timeout_s, least)
    except TimeoutError as error:
        raise SourceSilentError(f"{name} was silent for {timeout_s:g} s") from error
