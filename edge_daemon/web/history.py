"""Answers /history and its page: totals of the event log by minute, hour, day or weekday."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Final

from flask import Response, render_template, request

from edge_daemon.core.text import table_cell
from edge_daemon.history.report import STEP_MINUTES, HistoryReport, Period, PeriodError, Step
from edge_daemon.history.table import labels_of, rows_of
from edge_daemon.web import parameters
from edge_daemon.web.answers import sentence
from edge_daemon.web.server.loop import Loop

STEPS: Final[tuple[Step, ...]] = ("hour", "minute", "quarter", "day", "weekday")
FORMATS: Final = ("json", "csv")
FIRST_YEAR, LAST_YEAR = 1970, 2200


class HistoryViews:
    """Answers from what `answers` returns, which is None while there is no history."""

    def __init__(self, answers: Callable[[], HistoryReport | None], *, loop: Loop) -> None:
        self._answers = answers
        self._queries = loop.threads(1)

    def page(self) -> str:
        """The page, which asks for `history`."""
        return render_template("history.html", is_live=True)

    def history(self) -> Response:
        """The totals of a period; without parameters, the hours of today."""
        report = self._answers()
        if report is None:
            return sentence(404, "There is no history: history.enabled is off, or it is starting.")
        by = parameters.choice("by", STEPS)
        step: Step = next(each for each in STEP_MINUTES if each == by)
        file_format = parameters.choice("format", FORMATS)
        now = datetime.now(report.zone)
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        start, end = _time("from", report.zone) or today, _time("to", report.zone) or now
        try:
            return self._queries.run(_answer, report, start, end, step, file_format)
        except PeriodError as error:
            return sentence(400, f"?from= and ?to=: {error}.")
        except sqlite3.Error as error:
            return sentence(503, f"The history cannot be read: {error}.")


def _answer(
    report: HistoryReport, start: datetime, end: datetime, step: Step, file_format: str
) -> Response:
    periods = report.periods(start, end, step)
    if file_format == "csv":
        response = Response(_table(periods), mimetype="text/csv")
        response.headers["Content-Disposition"] = 'attachment; filename="mien-history.csv"'
        return response
    return Response(as_json(periods, step, report.zone), mimetype="application/json")


def as_json(periods: list[Period], step: Step, zone: tzinfo) -> str:
    """Return what /history answers."""
    values = {"time_zone": str(zone), "by": step, "periods": [each.as_dict() for each in periods]}
    return json.dumps(values, ensure_ascii=False) + "\n"


def _table(periods: list[Period]) -> str:
    """The periods as a table, with a column for each expression."""
    rows = rows_of(periods, labels_of(periods))
    columns = list(rows[0]) if rows else []
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow([table_cell(name) for name in columns])
    table.writerows([[table_cell(row[name]) for name in columns] for row in rows])
    return text.getvalue()


def _time(name: str, zone: tzinfo) -> datetime | None:
    """The parameter `name`: a time or a date, local unless it says otherwise, or how long ago.

    None if it is missing. Raises BadQuery.
    """
    text = request.args.get(name, "")
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
        at = at if at.tzinfo else at.replace(tzinfo=zone)
    except ValueError:
        at = datetime.fromisoformat(parameters.time(name))
    try:
        if FIRST_YEAR <= at.astimezone(UTC).year < LAST_YEAR:
            return at
    except OverflowError:
        pass
    raise parameters.BadQuery(f"?{name}= should be from {FIRST_YEAR} to before {LAST_YEAR}.")
