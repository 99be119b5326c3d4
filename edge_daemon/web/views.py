"""The page, the stream and the still: what each of their paths answers."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final

from flask import Response, render_template, request

from edge_daemon.core.slots import Closed
from edge_daemon.web.answers import BadQuery, number, sentence
from edge_daemon.web.encoder import Look, Picture, Pictures
from edge_daemon.web.server.server import WRITABLE
from edge_daemon.web.stream import CONTENT_TYPE, Full, Viewers, timestamps

FIRST_PICTURE_S: Final = 5.0  # how long a request waits for the first picture of all
WIDTH_STEP: Final = 16  # widths are rounded down to these, so that fewer encodings differ
NO_PICTURE: Final = "The camera has not delivered a picture yet."


class PictureAnswers:
    """Answers with the newest pictures."""

    def __init__(self, pictures: Pictures, viewers: Viewers) -> None:
        self._pictures, self._viewers = pictures, viewers

    def page(self) -> Response | str:
        """The page; or, by mjpg-streamer's `?action=`, the stream or a still."""
        action = request.args.get("action")
        if action == "stream":
            return self.stream()
        if action == "snapshot":
            return self.snapshot()
        return render_template("index.html")

    def stream(self) -> Response:
        """The pictures as multipart/x-mixed-replace, until the viewer leaves."""
        try:
            look, fps = self._look(), number("fps", 0.1, 240)
        except BadQuery as error:
            return sentence(400, str(error))
        if self._newest(look) is None:
            return sentence(503, NO_PICTURE, Retry_After="5")
        try:
            stream = self._viewers.join(
                look,
                fps=fps,
                headers_first="Chrome/" in request.user_agent.string,
                writable=request.environ[WRITABLE],
            )
        except Full as error:
            return sentence(503, str(error), Retry_After="5")
        return Response(stream, content_type=CONTENT_TYPE, direct_passthrough=True)

    def snapshot(self) -> Response:
        """The newest picture as one JPEG, `?max_age=` seconds old at most."""
        try:
            look, max_age_s = self._look(), number("max_age", 0, 86_400)
        except BadQuery as error:
            return sentence(400, str(error))
        picture = self._newest(look)
        if picture is None:
            return sentence(503, NO_PICTURE, Retry_After="5")
        age_s = (datetime.now(UTC) - picture.captured_at).total_seconds()
        if max_age_s is not None and age_s > max_age_s:
            return sentence(404, f"The newest picture is {age_s:.1f} s old.")
        response = Response(picture.jpeg, mimetype="image/jpeg")
        response.headers.extend(timestamps(picture.captured_at))
        response.headers["Cache-Control"] = "no-store"
        response.set_etag(hashlib.blake2s(picture.jpeg, digest_size=12).hexdigest())
        return response.make_conditional(request)  # type: ignore[return-value]

    def _look(self) -> Look:
        """What `?quality=`, `?width=` and `?overlay=` ask for. Raises BadQuery."""
        quality = number("quality", 1, 100)
        width = number("width", WIDTH_STEP, 7680)
        overlay = number("overlay", 0, 1)
        return Look(
            quality=int(quality) if quality else None,
            width=int(width) // WIDTH_STEP * WIDTH_STEP if width else None,
            overlay=overlay != 0,
        )

    def _newest(self, look: Look) -> Picture | None:
        try:
            return self._pictures.next(look, after=0, timeout_s=FIRST_PICTURE_S)
        except Closed:
            return None
