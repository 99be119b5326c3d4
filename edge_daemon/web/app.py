"""Views, events and state in; a web page, streams, stills and JSON out, over HTTP.

Stream and still have the paths of mjpg-streamer and ustreamer, so that what reads those reads
this. docs/openapi.yaml describes every path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from flask import Flask, Response, request

from edge_daemon.core.slots import Latest
from edge_daemon.core.types import View
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.history import EventHistory
from edge_daemon.vision.still import StillReader
from edge_daemon.web.access import Access
from edge_daemon.web.answers import secured, sentence
from edge_daemon.web.api import Api, Report
from edge_daemon.web.encoder import Pictures
from edge_daemon.web.photo import MAX_BYTES
from edge_daemon.web.server.loop import Loop
from edge_daemon.web.server.server import HttpServer, Tls
from edge_daemon.web.stream import Viewers
from edge_daemon.web.views import PictureAnswers

SPARE_CONNECTIONS: Final = 200  # beyond streams and event readers: requests, and clients that idle


class WebServer:
    """The page and the stream of `views` on `host`:`port`; port 0 takes any free one.

    More than `max_viewers` streams at once are refused, and as many readers of events. `password`
    and `token` are hashes, "" for none. `metrics` gives what /metrics answers, and its type.
    `observe` hears how long each ENCODE took, `on_failure` that the server's thread failed.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: Tls | None,
        password: str,
        token: str,
        hosts: Sequence[str],
        max_viewers: int,
        views: Latest[View],
        feed: EventFeed,
        history: EventHistory,
        report: Report,
        stills: StillReader,
        metrics: Callable[[], tuple[bytes, str]],
        observe: Callable[[str, float], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        loop = Loop()
        pictures = Pictures(views=views, loop=loop, observe=observe)
        self._viewers = Viewers(pictures=pictures, loop=loop, limit=max_viewers)
        feed.listen(loop.ring)
        access = Access(password=password, token=token, hosts=hosts, secure=bool(tls), loop=loop)
        app = create_app(
            access,
            PictureAnswers(pictures, self._viewers),
            Api(
                access=access,
                views=views,
                feed=feed,
                history=history,
                report=report,
                stills=stills,
                metrics=metrics,
                max_readers=max_viewers,
                loop=loop,
            ),
        )
        self._http = HttpServer(
            app=app,
            loop=loop,
            host=host,
            port=port,
            tls=tls,
            max_connections=2 * max_viewers + SPARE_CONNECTIONS,
            max_body_bytes=MAX_BYTES,
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
        """Bind and serve from a thread of its own. Raises OSError when it cannot."""
        self._http.start()

    def stop(self) -> None:
        """End every stream and connection and wait for the thread."""
        self._http.stop()


def create_app(access: Access, pictures: PictureAnswers, api: Api) -> Flask:
    """The WSGI application behind `WebServer`."""
    app = Flask(__name__)
    app.before_request(lambda: access.refusal(request))
    app.after_request(secured)
    app.add_url_rule("/", view_func=pictures.page)
    for path in ("/stream.mjpg", "/stream"):
        app.add_url_rule(path, view_func=pictures.stream)
    for path in ("/snapshot.jpg", "/snapshot"):
        app.add_url_rule(path, view_func=pictures.snapshot)
    app.add_url_rule("/login", view_func=lambda: access.login(request), methods=["POST"])
    app.add_url_rule(
        "/logout", endpoint="logout", view_func=lambda: access.logout(request), methods=["POST"]
    )
    app.add_url_rule("/state", view_func=api.state)
    app.add_url_rule("/healthz", view_func=api.healthz)
    app.add_url_rule("/metrics", view_func=api.metrics)
    app.add_url_rule("/events", view_func=api.events)
    app.add_url_rule("/events.csv", view_func=api.events_csv)
    app.add_url_rule("/api/classify", view_func=api.classify, methods=["POST"])
    app.register_error_handler(404, lambda _: sentence(404, "There is nothing here."))
    app.register_error_handler(405, _wrong_method)
    app.register_error_handler(400, lambda _: sentence(400, "The request is not whole."))
    app.register_error_handler(413, lambda _: sentence(413, "The body is too large."))
    return app


def _wrong_method(error: Any) -> Response:
    answer = sentence(405, f"{request.method} does not work here.")
    answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return answer
