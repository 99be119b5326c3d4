"""Answers the paths of the page, the stream and the still picture."""

from __future__ import annotations

import hashlib
from typing import Final

from flask import Response, render_template, request

from edge_daemon.core.slots import Closed
from edge_daemon.web.access import Access
from edge_daemon.web.answers import sentence
from edge_daemon.web.encoder import EncodedPicture, PictureEncoder, PictureOptions
from edge_daemon.web.parameters import choice, number
from edge_daemon.web.server.handler import CLIENT
from edge_daemon.web.stream import CONTENT_TYPE, StreamRefused, Viewers, timestamps

FIRST_PICTURE_S: Final = 5.0  # how long a request waits for the first picture
WIDTH_STEP: Final = 16  # widths are rounded down to multiples of this, for fewer encodings
NO_PICTURE: Final = "The camera has not delivered a picture yet."


class PictureViews:
    """Answers with the page and with the newest pictures."""

    def __init__(self, *, access: Access, encoder: PictureEncoder, viewers: Viewers) -> None:
        self._access, self._encoder, self._viewers = access, encoder, viewers

    def page(self) -> Response | str:
        """Return the page; with mjpg-streamer's `?action=` the stream or a still."""
        action = choice("action", ("page", "stream", "snapshot"))
        if action == "stream":
            return self.stream()
        if action == "snapshot":
            return self.snapshot()
        return render_template("index.html")

    def stream(self) -> Response:
        """Return the pictures as multipart/x-mixed-replace, until the viewer leaves."""
        options, fps = _options(), number("fps", 0.1, 240)
        if self._newest(options) is None:
            return sentence(503, NO_PICTURE, Retry_After="5")
        try:
            stream = self._viewers.join(
                options,
                fps=fps,
                headers_first="Chrome/" in request.user_agent.string,
                client=request.environ[CLIENT],
            )
        except StreamRefused as error:
            return sentence(503, str(error), Retry_After="5")
        response = Response(stream, content_type=CONTENT_TYPE, direct_passthrough=True)
        response.headers["X-Accel-Buffering"] = "no"  # nginx would hold parts back
        return response

    def snapshot(self) -> Response:
        """Return the newest picture as JPEG, at most `?max_age=` seconds old."""
        options, max_age_s = _options(), number("max_age", 0, 86_400)
        picture = self._newest(options)
        if picture is None:
            return sentence(503, NO_PICTURE, Retry_After="5")
        if max_age_s is not None and picture.age_s > max_age_s:
            return sentence(404, f"The newest picture is {picture.age_s:.1f} s old.")
        response = Response(picture.jpeg, mimetype="image/jpeg")
        response.headers.extend(timestamps(picture.captured_at))
        response.headers["Cache-Control"] = "no-store"
        response.set_etag(hashlib.blake2s(picture.jpeg, digest_size=12).hexdigest())
        return response.make_conditional(request)  # type: ignore[return-value]

    def _newest(self, options: PictureOptions) -> EncodedPicture | None:
        try:
            return self._encoder.next(options, after=0, timeout_s=FIRST_PICTURE_S)
        except Closed:
            return None


def _options() -> PictureOptions:
    """Read `?quality=`, `?width=` and `?overlay=`. Raises BadQuery."""
    quality = number("quality", 1, 100)
    width = number("width", WIDTH_STEP, 7680)
    overlay = number("overlay", 0, 1)
    return PictureOptions(
        quality=int(quality) if quality else None,
        width=int(width) // WIDTH_STEP * WIDTH_STEP if width else None,
        overlay=overlay != 0,
    )
