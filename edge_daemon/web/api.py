"""State, health, metrics, events and uploaded pictures: what each of their paths answers."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from flask import Response, request

from edge_daemon.core.slots import Latest
from edge_daemon.core.types import View, rfc3339
from edge_daemon.draw.annotate import annotate
from edge_daemon.draw.jpeg import encode_jpeg
from edge_daemon.events.feed import EventFeed
from edge_daemon.events.history import MAX_EVENTS, Entry, EventHistory, Query
from edge_daemon.vision.still import StillReader
from edge_daemon.web.access import Access
from edge_daemon.web.answers import BadQuery, json_answer, number, sentence
from edge_daemon.web.events import CONTENT_TYPE, EventStream
from edge_daemon.web.photo import PhotoRefused, in_own_pixels, read_photo
from edge_daemon.web.server.loop import Loop
from edge_daemon.web.server.server import WRITABLE

PAGE: Final = 100  # events a page where no ?limit= is given
UPLOADS: Final = 4  # received at once; one at a time is then looked at
UPLOAD_S: Final = 20.0  # for an upload to arrive and be looked at
ANSWER_PX: Final = 1280  # width of the annotated picture at most
COLUMNS: Final = (
    "id", "time", "type", "camera", "face", "label", "previous", "score", "duration_s", "reason",
)  # fmt: skip


class Report(Protocol):
    """What the page tells of the daemon."""

    def state(self) -> dict[str, Any]:
        """What /state answers; values for JSON."""
        ...

    def faces(self, view: View) -> dict[str, Any]:
        """What is to be drawn over `view`; values for JSON."""
        ...

    def healthy(self) -> tuple[bool, str]:
        """Whether all is well, with the reason."""
        ...


class Api:
    """Answers programs, and the page's script."""

    def __init__(
        self,
        *,
        access: Access,
        views: Latest[View],
        feed: EventFeed,
        history: EventHistory,
        report: Report,
        stills: StillReader,
        metrics: Callable[[], tuple[bytes, str]],
        max_readers: int,
        loop: Loop,
    ) -> None:
        self._access, self._views, self._feed, self._history = access, views, feed, history
        self._report, self._stills = report, stills
        self._metrics = metrics
        self._max_readers, self._readers = max_readers, 0
        self._loop = loop
        self._uploads, self._reading = loop.places(UPLOADS), loop.places(1)

    def state(self) -> Response:
        """The daemon's state, with the latest events."""
        recent = [_with_id(entry) for entry in self._feed.recent()]
        return json_answer({**self._state(), "events": recent})

    def healthz(self) -> Response:
        """200 "ok" or 503 "failing", with the reason for those who may know."""
        ok, reason = self._report.healthy()
        detail = reason if self._access.signed_in(request) else ""
        return sentence(200 if ok else 503, f"{'ok' if ok else 'failing'} {detail}".rstrip())

    def metrics(self) -> Response:
        """The figures in Prometheus' text format."""
        text, content_type = self._loop.offload(self._metrics)
        return Response(text, content_type=content_type)

    def events(self) -> Response:
        """The log's events a page at a time; for who accepts text/event-stream, live."""
        try:
            query, limit = _query(), int(number("limit", 1, MAX_EVENTS) or PAGE)
        except BadQuery as error:
            return sentence(400, str(error))
        if CONTENT_TYPE in request.headers.get("Accept", ""):
            return self._live_events(query.since)
        found = self._loop.offload(self._history.find, query, limit + 1)
        page = found[:limit]
        following = page[-1].id if len(found) > limit else None
        return json_answer({"events": [_with_id(entry) for entry in page], "next": following})

    def events_csv(self) -> Response:
        """The same as a table, for a spreadsheet."""
        try:
            query, limit = _query(), int(number("limit", 1, MAX_EVENTS) or MAX_EVENTS)
        except BadQuery as error:
            return sentence(400, str(error))
        found = self._loop.offload(self._history.find, query, limit)
        response = Response(self._loop.offload(_table, found), mimetype="text/csv")
        response.headers["Content-Disposition"] = 'attachment; filename="mien-events.csv"'
        return response

    def classify(self) -> Response:
        """The faces of the picture in the request's body, which is kept nowhere."""
        try:
            with self._loop.deadline(UPLOAD_S):
                return self._classified()
        except PhotoRefused as error:
            return sentence(error.status, str(error))
        except TimeoutError:
            return sentence(408, "The picture did not arrive in time, or others go first.")

    def _classified(self) -> Response:
        with self._uploads:
            content = request.get_data()
            faces, jpeg = self._loop.offload_in(self._reading, self._classify_photo, content)
        if request.accept_mimetypes.best == "image/jpeg":
            return Response(jpeg, mimetype="image/jpeg")
        picture = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        return json_answer({**faces, "picture": picture})

    def _classify_photo(self, content: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the faces in an uploaded picture, in its own pixels, and the annotated picture."""
        photo = read_photo(content)
        view = self._stills.view(photo.bgr)
        faces = in_own_pixels(self._report.faces(view), photo)
        return faces, encode_jpeg(annotate(view), quality=view.drawing.quality, width=ANSWER_PX)

    def _state(self) -> dict[str, Any]:
        return self._report.state()

    def _live_events(self, since: str) -> Response:
        if self._readers >= self._max_readers:
            return sentence(503, "All places for readers are taken; try later.", Retry_After="5")
        last_id = request.headers.get("Last-Event-ID") or request.args.get("last_event_id", "")
        self._readers += 1
        stream = EventStream(
            feed=self._feed,
            history=self._history,
            last_id=last_id,
            since=since,
            views=self._views if request.args.get("live") == "1" else None,
            faces=self._report.faces,
            state=self._state,
            loop=self._loop,
            writable=request.environ[WRITABLE],
            on_close=self._leave,
        )
        return Response(stream, mimetype=CONTENT_TYPE, direct_passthrough=True)

    def _leave(self) -> None:
        self._readers -= 1


def _query() -> Query:
    """What the request's parameters ask of the log. Raises BadQuery."""
    return Query(
        since=_time("since"),
        until=_time("until"),
        types=_names("type"),
        labels=_names("label"),
        after=request.args.get("after", ""),
    )


def _names(parameter: str) -> frozenset[str]:
    """The values of a parameter that may be repeated, or given with commas."""
    values = ",".join(request.args.getlist(parameter)).split(",")
    return frozenset(value for value in values if value)


def _time(parameter: str) -> str:
    """A time as the log writes it; "" where it is not given. Raises BadQuery."""
    text = request.args.get(parameter, "")
    if not text:
        return ""
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))  # a + in a query means a blank
        return rfc3339(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise BadQuery(f"?{parameter}= should be a time like 2026-01-31T12:00:00Z.") from None


def _with_id(entry: Entry) -> dict[str, Any]:
    return {"id": entry.id, **entry.event}


def _table(entries: Sequence[Entry]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
    table.writeheader()
    table.writerows(map(_row, entries))
    return text.getvalue()


def _row(entry: Entry) -> dict[str, Any]:
    """No cell begins as a formula does: spreadsheets would compute it."""
    return {name: _cell(value) for name, value in _with_id(entry).items()}


def _cell(value: Any) -> Any:
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value
