"""Views and state in, a web page, an MJPEG stream, stills and JSON out, over HTTP.

Paths follow mjpg-streamer and ustreamer, so that what reads those reads this.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flask import Flask, Response, render_template, request

from edge_daemon.http_server import HttpServer
from edge_daemon.latest import Closed, Latest
from edge_daemon.mjpeg import CONTENT_TYPE, JpegFeed, Picture, Viewers, timestamps
from edge_daemon.types import View

State = Callable[[], dict[str, object]]
Healthy = Callable[[], tuple[bool, str]]
Metrics = Callable[[], tuple[bytes, str]]

FIRST_PICTURE_S: Final = 5.0  # how long a request waits for the first picture of all
SHORT_REQUEST_THREADS: Final = 8  # beyond the viewers' own: page, state, stills, idle connections

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class WebServer:
    """The page and the stream of `views` on `host`:`port`; port 0 takes any free one.

    `state` gives what /state answers, `healthy` whether all is well, with the reason, and
    `metrics` what /metrics answers, with its content type. More than `max_viewers` streams at once
    are refused. `on_failure` is called, in the server's thread, when that thread fails.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        max_viewers: int,
        views: Latest[View],
        state: State,
        healthy: Healthy,
        metrics: Metrics,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._feed = JpegFeed(views=views)
        self._viewers = Viewers(feed=self._feed, limit=max_viewers)
        self._http = HttpServer(
            app=create_app(
                feed=self._feed,
                viewers=self._viewers,
                state=state,
                healthy=healthy,
                metrics=metrics,
            ),
            host=host,
            port=port,
            threads=max_viewers + SHORT_REQUEST_THREADS,
            on_failure=on_failure,
        )

    @property
    def port(self) -> int:
        """The TCP port; after `start()` the bound one."""
        return self._http.port

    @property
    def viewers(self) -> int:
        """How many streams are being watched."""
        return self._viewers.count

    def start(self) -> None:
        """Bind and serve from a thread of its own. Raises OSError when it cannot bind."""
        self._http.start()

    def stop(self) -> None:
        """End every stream and connection and wait for the threads."""
        self._feed.close()
        self._http.stop()


def create_app(
    *, feed: JpegFeed, viewers: Viewers, state: State, healthy: Healthy, metrics: Metrics
) -> Flask:
    """The WSGI application behind `WebServer`."""
    app = Flask(__name__)
    answers = _Answers(feed, viewers, state, healthy, metrics)
    app.add_url_rule("/", view_func=answers.page)
    for path in ("/stream.mjpg", "/stream"):
        app.add_url_rule(path, view_func=answers.stream)
    for path in ("/snapshot.jpg", "/snapshot"):
        app.add_url_rule(path, view_func=answers.snapshot)
    app.add_url_rule("/state", endpoint="state", view_func=answers.state_json)
    app.add_url_rule("/healthz", view_func=answers.healthz)
    app.add_url_rule("/metrics", endpoint="metrics", view_func=answers.metrics_text)
    app.after_request(_secured)
    return app


def _secured(response: Response) -> Response:
    response.headers.extend(SECURITY_HEADERS)
    return response


@dataclass(frozen=True, slots=True)
class _Answers:
    """What each path answers."""

    feed: JpegFeed
    viewers: Viewers
    state: State
    healthy: Healthy
    metrics: Metrics

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
        if self._newest() is None:
            return _unavailable("The camera has not delivered a picture yet.")
        stream = self.viewers.join(headers_first="Chrome/" in request.user_agent.string)
        if stream is None:
            return _unavailable("All places for viewers are taken; try again later.")
        return _uncached(Response(stream, content_type=CONTENT_TYPE))

    def snapshot(self) -> Response:
        """The newest picture as one JPEG."""
        picture = self._newest()
        if picture is None:
            return _unavailable("The camera has not delivered a picture yet.")
        response = Response(picture.jpeg, mimetype="image/jpeg")
        response.headers.extend(timestamps(picture.captured_at))
        return _uncached(response)

    def state_json(self) -> Response:
        """The daemon's state; its keys keep their order."""
        body = json.dumps(self.state(), allow_nan=False)
        return _uncached(Response(body, mimetype="application/json"))

    def healthz(self) -> Response:
        """200 "ok" or 503 "failing", with the reason."""
        ok, reason = self.healthy()
        text = f"{'ok' if ok else 'failing'} {reason}".rstrip() + "\n"
        return _uncached(Response(text, 200 if ok else 503, mimetype="text/plain"))

    def metrics_text(self) -> Response:
        """The figures in Prometheus' text format."""
        text, content_type = self.metrics()
        return _uncached(Response(text, content_type=content_type))

    def _newest(self) -> Picture | None:
        try:
            return self.feed.next(after=0, timeout_s=FIRST_PICTURE_S)
        except Closed:
            return None


def _unavailable(sentence: str) -> Response:
    headers = {"Retry-After": "5"}
    return _uncached(Response(sentence + "\n", 503, headers, mimetype="text/plain"))


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
