"""The web server: the page, the stream, stills and the API over HTTP.

Stream and still have the paths of mjpg-streamer and ustreamer, so that clients of those programs
work. openapi.yaml describes every path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from edge_daemon.core.slots import Latest
from edge_daemon.core.types import View
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.log_reader import EventLogReader
from edge_daemon.history.report import HistoryReport
from edge_daemon.vision.still import StillReader
from edge_daemon.web.access import Access, AccessPolicy
from edge_daemon.web.answers import secured, sentence
from edge_daemon.web.api import ApiViews, Report
from edge_daemon.web.calibration import CalibrationViews, RestRecorder
from edge_daemon.web.encoder import PictureEncoder
from edge_daemon.web.history import HistoryViews
from edge_daemon.web.parameters import BadQuery, check_names
from edge_daemon.web.photo import MAX_BYTES
from edge_daemon.web.server.listener import Tls
from edge_daemon.web.server.loop import Loop
from edge_daemon.web.server.server import HttpServer
from edge_daemon.web.settings import Settings, SettingsViews
from edge_daemon.web.stream import Viewers
from edge_daemon.web.views import PictureViews

SPARE_CONNECTIONS: Final = 200  # beyond streams and event readers: requests, and idle clients
FORM_BYTES: Final = 100_000  # what a form adds to the picture in it

_PICTURE: Final = frozenset({"quality", "width", "overlay"})
_STREAM: Final = _PICTURE | {"fps"}
_STILL: Final = _PICTURE | {"max_age"}
_LOG: Final = frozenset({"since", "until", "type", "label", "limit", "order", "after"})


@dataclass(frozen=True, slots=True)
class Route:
    """A path, the function that answers it, and the query parameters that it accepts."""

    path: str
    view: Callable[[], Response | str]
    parameters: Collection[str] = ()
    methods: Collection[str] = ("GET",)


@dataclass(frozen=True, slots=True)
class WebSources:
    """The sources of the answers.

    `totals` returns the history's totals, None while there are none. `metrics` returns the answer
    of /metrics and its content type. `observe` is called with the seconds that each ENCODE took.
    """

    views: Latest[View]
    feed: EventFeed
    log_reader: EventLogReader
    totals: Callable[[], HistoryReport | None]
    report: Report
    stills: StillReader
    settings: Settings
    calibration: RestRecorder
    metrics: Callable[[], tuple[bytes, str]]
    observe: Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Views:
    """The objects that answer the paths, by subject."""

    pictures: PictureViews
    api: ApiViews
    history: HistoryViews
    settings: SettingsViews
    calibration: CalibrationViews


class WebServer:
    """Serves the page, the stream and the API on `host`:`port`; port 0 takes any free one.

    At most `max_viewers` streams are served at once, and as many readers of live events.
    `on_failure` is called with the exception that ends the server's thread.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: Tls | None,
        policy: AccessPolicy,
        max_viewers: int,
        sources: WebSources,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        loop = Loop()
        encoder = PictureEncoder(views=sources.views, loop=loop, observe=sources.observe)
        self._viewers = Viewers(encoder=encoder, loop=loop, limit=max_viewers)
        sources.feed.listen(loop.ring)
        self._access = Access(policy, loop=loop)
        api = ApiViews(
            access=self._access,
            views=sources.views,
            feed=sources.feed,
            log_reader=sources.log_reader,
            report=sources.report,
            viewers=self._viewers,
            stills=sources.stills,
            metrics=sources.metrics,
            loop=loop,
        )
        views = Views(
            pictures=PictureViews(access=self._access, encoder=encoder, viewers=self._viewers),
            api=api,
            history=HistoryViews(sources.totals, loop=loop),
            settings=SettingsViews(sources.settings, access=self._access, loop=loop),
            calibration=CalibrationViews(sources.calibration, access=self._access),
        )
        self._http = HttpServer(
            app=create_app(self._access, views),
            loop=loop,
            host=host,
            port=port,
            tls=tls,
            max_connections=_connections(max_viewers),
            max_body_bytes=MAX_BYTES + FORM_BYTES,
            on_failure=on_failure,
        )

    @property
    def port(self) -> int:
        """The TCP port; after `start` the bound one."""
        return self._http.port

    @property
    def viewers(self) -> int:
        """The number of open streams."""
        return self._viewers.count

    def start(self) -> None:
        """Bind, and serve from a separate thread. Raises OSError or CertificateError."""
        self._http.start()

    def adopt(
        self, policy: AccessPolicy, *, max_viewers: int, tls: Tls | None
    ) -> Callable[[], None]:
        """Prepare other settings; the function returned switches to them, from any thread.

        The files of `tls` are read again, in case the certificate was renewed. TLS cannot be turned
        on or off. Raises CertificateError.
        """
        renew = self._http.renewed_tls(tls) if tls is not None else None

        def switch() -> None:
            if renew is not None:
                renew()
            self._access.adopt(policy)
            self._viewers.limit = max_viewers
            self._http.max_connections = _connections(max_viewers)

        return switch

    def stop(self) -> None:
        """End every stream and connection and wait for the thread."""
        self._http.stop()


def _connections(max_viewers: int) -> int:
    """Return how many connections may be open: viewers, as many event readers, and others."""
    return 2 * max_viewers + SPARE_CONNECTIONS


def create_app(access: Access, views: Views) -> Flask:
    """Build the WSGI application of `WebServer`."""
    app = Flask(__name__)
    routes = {route.path: route for route in _routes(access, views)}
    for route in routes.values():
        app.add_url_rule(
            route.path, endpoint=route.path, view_func=route.view, methods=list(route.methods)
        )

    def check_parameters() -> None:
        if request.endpoint in routes:
            check_names(routes[request.endpoint].parameters)

    app.context_processor(
        lambda: {"is_guarded": access.is_guarded, "has_settings": access.offers_settings}
    )
    app.before_request(_server_options)
    app.before_request(lambda: access.refusal(request))
    app.before_request(check_parameters)
    app.after_request(lambda response: access.allow_cors(request, response))  # runs second
    app.after_request(secured)
    app.register_error_handler(BadQuery, lambda error: sentence(400, str(error)))
    app.register_error_handler(404, lambda _: sentence(404, "There is nothing here."))
    app.register_error_handler(405, _wrong_method)
    app.register_error_handler(400, lambda _: sentence(400, "The request is incomplete."))
    app.register_error_handler(413, lambda _: sentence(413, "The body is too large."))
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(500, lambda _: sentence(500, "The request failed; see the log."))
    return app


def _routes(access: Access, views: Views) -> list[Route]:
    pictures, api = views.pictures, views.api
    return [
        Route("/", pictures.page, _STREAM | _STILL | {"action"}),
        Route("/stream.mjpg", pictures.stream, _STREAM),
        Route("/stream", pictures.stream, _STREAM),
        Route("/snapshot.jpg", pictures.snapshot, _STILL),
        Route("/snapshot", pictures.snapshot, _STILL),
        Route("/state", api.state),
        Route("/healthz", api.healthz),
        Route("/metrics", api.metrics),
        Route("/events", api.events, _LOG | {"live", "last_event_id"}),
        Route("/events.csv", api.events_csv, _LOG),
        Route("/history", views.history.history, {"from", "to", "by", "format"}),
        Route("/history.html", views.history.page),
        Route("/api/classify", api.classify, methods=("GET", "POST")),
        Route("/settings.html", views.settings.page),
        Route("/api/settings", views.settings.api, methods=("GET", "POST")),
        Route("/api/calibration", views.calibration.api, methods=("GET", "POST")),
        Route("/openapi.yaml", api.openapi),
        Route("/login", lambda: access.login(request), methods=("POST",)),
        Route("/logout", lambda: access.logout(request), methods=("POST",)),
    ]


def _server_options() -> Response | None:
    """Answer `OPTIONS *`, which asks about the server and not about a path."""
    if request.environ["PATH_INFO"] != "*":
        return None
    return Response(status=204, headers={"Allow": "GET, HEAD, OPTIONS, POST"})


def _wrong_method(error: Any) -> Response:
    allowed = ", ".join(sorted(error.valid_methods or ()))
    return sentence(405, f"{request.method} does not work here.", Allow=allowed)


def _refused(error: Any) -> Response:
    """Answer what the framework refuses, a range for instance, with a sentence too."""
    response = sentence(error.code, f"{error.name}.")
    rest = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    response.headers.update(rest)
    return response
