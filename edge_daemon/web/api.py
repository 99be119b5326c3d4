"""Answers the paths of state, health, metrics, events and uploaded pictures."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from flask import Response, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser

from edge_daemon.core.slots import Latest
from edge_daemon.core.text import table_cell
from edge_daemon.core.types import View
from edge_daemon.draw.annotate import annotate
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.events.events import TYPES
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.log_reader import MAX_EVENTS, Entry, EventLogReader, Query
from edge_daemon.events.tail import EventFollower
from edge_daemon.vision.still import StillReader
from edge_daemon.web import parameters
from edge_daemon.web.access import Access
from edge_daemon.web.answers import json_answer, sentence
from edge_daemon.web.events import CONTENT_TYPE, ServerSentEvents
from edge_daemon.web.photo import PhotoRefused, in_own_pixels, read_photo
from edge_daemon.web.searches import LogSearch, LogSearches
from edge_daemon.web.server.handler import CLIENT
from edge_daemon.web.server.loop import Loop
from edge_daemon.web.stream import Viewers

OPENAPI: Final = Path(__file__).parent / "openapi.yaml"
PAGE: Final = 100  # events in an answer without ?limit=
UPLOADS: Final = 4  # received at once; they are classified one by one
UPLOAD_S: Final = 20.0  # for an upload to arrive and be classified
FORM_PARTS: Final = 20
QUERIES: Final = 2  # of the log at once
ANSWER_PX: Final = 1280  # largest width of the annotated picture
HOW_TO_CLASSIFY: Final = (
    "Send a JPEG, PNG or WebP picture with POST, as `curl -F file=@photo.jpg` does; "
    "the answer names its faces and their expressions."
)
COLUMNS: Final = (
    "id", "time", "type", "camera", "face", "label", "previous", "score", "duration_s", "reason",
    "detection_score",
)  # fmt: skip


class Report(Protocol):
    """Reports the state of the daemon to the page."""

    def state(self) -> dict[str, Any]:
        """Return the answer of /state, as values for JSON."""
        ...

    def faces(self, view: View) -> dict[str, Any]:
        """Return the faces to draw over `view`; values for JSON."""
        ...

    def healthy(self) -> tuple[bool, str]:
        """Return whether all is well, and the reason."""
        ...


class ApiViews:
    """Answers programs and the page's script."""

    def __init__(
        self,
        *,
        access: Access,
        views: Latest[View],
        feed: EventFeed,
        log_reader: EventLogReader,
        report: Report,
        viewers: Viewers,
        stills: StillReader,
        metrics: Callable[[], tuple[bytes, str]],
        loop: Loop,
    ) -> None:
        self._access, self._views, self._feed, self._log_reader = access, views, feed, log_reader
        self._report, self._viewers, self._stills = report, viewers, stills
        self._metrics = metrics
        self._readers = 0
        self._loop = loop
        # Each kind of work has its own threads, so that none can delay another.
        self._reports, self._queries = loop.threads(1), loop.threads(QUERIES)
        self._followers, self._classifiers = loop.threads(1), loop.threads(1)
        self._uploads = loop.places(UPLOADS)
        self._searches = LogSearches()

    def openapi(self) -> Response:
        """Return the description of all paths."""
        return Response(OPENAPI.read_bytes(), mimetype="application/yaml")

    def state(self) -> Response:
        """Return the daemon's state, with the newest events."""
        recent = [_with_id(entry) for entry in self._feed.recent()]
        return json_answer({**self._report.state(), "events": recent})

    def healthz(self) -> Response:
        """Answer 200 "ok" or 503 "failing", with the reason for users who may watch."""
        ok, reason = self._report.healthy()
        detail = reason if self._access.is_signed_in(request) else ""
        text = f"{'ok' if ok else 'failing'} {detail}".rstrip()
        return Response(f"{text}\n", 200 if ok else 503, mimetype="text/plain")

    def metrics(self) -> Response:
        """Return the figures in Prometheus' text format."""
        text, content_type = self._reports.run(self._metrics)
        return Response(text, content_type=content_type)

    def events(self) -> Response:
        """Return a page of the log's events; for clients that accept text/event-stream, live."""
        limit = int(parameters.number("limit", 1, MAX_EVENTS) or PAGE)
        query, newest_first = _query()
        if CONTENT_TYPE in request.headers.get("Accept", ""):
            header = request.headers.get("Last-Event-ID", "")
            last_id = parameters.checked_event_id(header, "The header Last-Event-ID")
            return self._live_events(last_id or parameters.event_id("last_event_id"), query.since)
        search = self._searches.begin(request.environ[CLIENT])

        def page() -> str:
            found = self._find(query, limit + 1, newest_first, search)
            following = found[limit - 1].id if len(found) > limit else None
            return _page(found[:limit], following, search)

        return Response(self._queries.run(page), mimetype="application/json")

    def events_csv(self) -> Response:
        """Return the same as a table, for a spreadsheet."""
        limit = int(parameters.number("limit", 1, MAX_EVENTS) or MAX_EVENTS)
        query, newest_first = _query()
        search = self._searches.begin(request.environ[CLIENT])

        def table() -> str:
            return _table(self._find(query, limit, newest_first, search), search)

        response = Response(self._queries.run(table), mimetype="text/csv")
        response.headers["Content-Disposition"] = 'attachment; filename="mien-events.csv"'
        return response

    def classify(self) -> Response:
        """Return the faces of the picture in the request's body; the picture is not stored."""
        if request.method != "POST":
            return sentence(405, HOW_TO_CLASSIFY, Allow="POST")
        try:
            with self._loop.deadline(UPLOAD_S):
                return self._classified()
        except PhotoRefused as error:
            return sentence(error.status, str(error))
        except TimeoutError:
            return sentence(
                408, "The picture did not arrive in time, or other pictures are waiting; try again."
            )

    def _classified(self) -> Response:
        with self._uploads:
            content = request.get_data(parse_form_data=False)
            boundary = _boundary()
            faces, jpeg = self._classifiers.run(self._classify, content, boundary)
        if request.accept_mimetypes.best == "image/jpeg":
            return Response(jpeg, mimetype="image/jpeg")
        picture = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        return json_answer({**faces, "picture": picture})

    def _classify(self, content: bytes, boundary: bytes | None) -> tuple[dict[str, Any], bytes]:
        """Return the faces in an uploaded picture, in its pixels, and the annotated picture."""
        if boundary is not None:
            content = file_of_form(content, boundary)
        photo = read_photo(content)
        view = self._stills.view(photo.bgr)
        faces = in_own_pixels(self._report.faces(view), photo)
        return faces, encode_jpeg(annotate(view), quality=view.drawing.quality, width=ANSWER_PX)

    def _find(
        self, query: Query, limit: int, newest_first: bool, search: LogSearch
    ) -> Sequence[Entry]:
        """Search the log, as long as the client waits for it."""
        return self._log_reader.find(
            query, limit, newest_first=newest_first, is_canceled=search.checkpoint
        )

    def _live_events(self, last_id: str, since: str) -> Response:
        if self._readers >= self._viewers.limit:
            return sentence(503, "All places for readers are taken; try later.", Retry_After="5")
        with_views = parameters.choice("live", ("0", "1")) == "1"
        self._readers += 1
        stream = ServerSentEvents(
            feed=self._feed,
            follower=EventFollower(
                feed=self._feed,
                reader=self._log_reader,
                last_id=last_id or since or self._feed.last_id,
            ),
            views=self._views if with_views else None,
            faces=self._report.faces,
            state=self._report.state,
            loop=self._loop,
            threads=self._followers,
            client=request.environ[CLIENT],
            on_close=self._leave,
        )
        response = Response(stream, mimetype=CONTENT_TYPE, direct_passthrough=True)
        response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
        return response

    def _leave(self) -> None:
        self._readers -= 1


def _query() -> tuple[Query, bool]:
    """Read the query, and whether the newest events come first. Raises BadQuery."""
    newest_first = parameters.choice("order", ("asc", "desc")) == "desc"
    after = parameters.event_id("after")
    query = Query(
        since=parameters.time("since"),
        until=parameters.time("until"),
        types=parameters.names("type", TYPES),
        labels=parameters.names("label"),
        after="" if newest_first else after,
        before=after if newest_first else "",
    )
    return query, newest_first


def _boundary() -> bytes | None:
    """Return the boundary of a form with files; None for a bare picture. Raises PhotoRefused."""
    if request.mimetype != "multipart/form-data":
        return None
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary:
        raise PhotoRefused(415, "The form's Content-Type lacks its boundary.")
    return boundary.encode("latin-1", "replace")


def file_of_form(content: bytes, boundary: bytes) -> bytes:
    """Return the first file in a multipart form, without writing it to disk.

    Raises PhotoRefused.
    """
    parser = MultiPartParser(
        stream_factory=lambda *_, **__: io.BytesIO(),
        max_form_memory_size=len(content),
        max_form_parts=FORM_PARTS,
    )
    try:
        _, files = parser.parse(io.BytesIO(content), boundary, len(content))
    except (ValueError, RequestEntityTooLarge):
        raise PhotoRefused(400, "The form is malformed.") from None
    uploaded: list[FileStorage] = [file for _, file in files.items(multi=True)]
    if not uploaded:
        raise PhotoRefused(415, "The form has no file: send one with `curl -F file=@photo.jpg`.")
    picture: bytes = uploaded[0].read()
    return picture


def _with_id(entry: Entry) -> dict[str, Any]:
    return {"id": entry.id, **entry.event}


def _page(entries: Sequence[Entry], following: str | None, search: LogSearch) -> str:
    """Return the answer as JSON, an event at a time: the encoder holds up every other thread."""
    events = [
        json.dumps(_with_id(entry), ensure_ascii=False)
        for entry in entries
        if not search.checkpoint()
    ]
    return f'{{"events": [{", ".join(events)}], "next": {json.dumps(following)}}}\n'


def _table(entries: Sequence[Entry], search: LogSearch) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
    table.writeheader()
    for entry in entries:
        if search.checkpoint():
            break
        table.writerow(_row(entry))
    return text.getvalue()


def _row(entry: Entry) -> dict[str, Any]:
    return {name: table_cell(value) for name, value in _with_id(entry).items()}
