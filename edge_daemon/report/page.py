"""The report as one HTML file: the history's page with its scripts, styles and data inside."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from edge_daemon.core.errors import UserError
from edge_daemon.history.periods import Period
from edge_daemon.history.report import Step
from edge_daemon.report.totals import CameraTotals

WEB: Final = Path(__file__).resolve().parents[1] / "web"  # has the page's template and scripts
STATIC: Final = WEB / "static"
SCRIPT: Final = "history/report.js"
QUARTER_DAYS: Final = 400  # days of all cameras together; more are drawn by the hour
MAX_DAYS: Final = 20_000  # some 40 MB of HTML

_IMPORT: Final = re.compile(r'(from )"(\.[^"]+)"')


class ReportTooLarge(UserError):
    """There are too many days for a page; the message says what to do instead."""


def report_page(cameras: Sequence[CameraTotals], *, files: int, events_to: datetime) -> str:
    """Return the HTML of the report. Raises ReportTooLarge."""
    totals = [(camera, camera.total()) for camera in cameras]
    days = sum(1 for camera in cameras for _ in camera.periods("day"))
    if days > MAX_DAYS:
        raise ReportTooLarge(
            f"these logs have {days:,} days of cameras, and a page can show {MAX_DAYS:,}; "
            "fix: name fewer logs, or write a table: --out report.csv."
        )
    steps: tuple[Step, ...] = (
        ("quarter", "hour", "day") if days <= QUARTER_DAYS else ("hour", "day")
    )
    pages = Environment(loader=FileSystemLoader(WEB / "templates"), autoescape=True)
    return pages.get_template("report.html").render(
        is_live=False,
        styles=[_text(name) for name in ("style.css", "uplot/uplot.css", "history/history.css")],
        uplot=_text("uplot/uplot.js"),
        modules=Markup(json.dumps({"imports": _modules(SCRIPT, {})})),  # noqa: S704 - base64
        script=SCRIPT,
        data=Markup(_data(cameras, steps)),  # noqa: S704 - without <
        cameras=[_summary(camera, total) for camera, total in totals],
        files=files,
        zone=str(cameras[0].report.zone),
        until=events_to.strftime("%Y-%m-%d %H:%M"),
    )


def _text(name: str) -> Markup:
    """Return the text of a static file, ours or uPlot's, unescaped."""
    return Markup((STATIC / name).read_text().replace("</script", "<\\/script"))  # noqa: S704


def _modules(name: str, found: dict[str, str]) -> dict[str, str]:
    """Add the module `name` and all that it imports to `found`: names with their data: URLs."""
    if name in found:
        return found
    found[name] = ""
    path = STATIC / name
    imported: list[str] = []

    def named(match: re.Match[str]) -> str:
        imported.append((path.parent / match[2]).resolve().relative_to(STATIC).as_posix())
        return f'{match[1]}"{imported[-1]}"'

    code = _IMPORT.sub(named, path.read_text())
    found[name] = f"data:text/javascript;base64,{base64.b64encode(code.encode()).decode()}"
    for each in imported:
        _modules(each, found)
    return found


def _summary(camera: CameraTotals, total: Period) -> dict[str, Any]:
    most = max(total.expressions, key=total.expressions.__getitem__, default="–")
    stay_s = total.stay_ms / total.departures / 1000 if total.departures else None
    return {
        "name": camera.name,
        "first": camera.first.date().isoformat(),
        "last": camera.last.date().isoformat(),
        "recorded": _hours(total.recorded_ms),
        "faces": "too few" if total.is_hidden else total.faces,
        "face_time": "–" if total.is_hidden else _hours(total.face_ms),
        "mean_stay": "–" if stay_s is None else f"{stay_s:.0f} s",
        "most": most,
    }


def _hours(ms: int) -> str:
    """Format milliseconds as hours:minutes:seconds."""
    total_s = round(ms / 1000)
    return f"{total_s // 3600}:{total_s // 60 % 60:02}:{total_s % 60:02}"


def _data(cameras: Sequence[CameraTotals], steps: Sequence[Step]) -> str:
    """Return the periods as JSON for report.js: for each camera and step, rows by local date."""
    labels: dict[str, int] = {}
    found: list[dict[str, Any]] = []
    for camera in cameras:
        rows: dict[str, dict[str, list[list[Any]]]] = {step: {} for step in steps}
        for step in steps:
            for period in camera.periods(step):
                date = period.start.date().isoformat()
                rows[step].setdefault(date, []).append(_row(period, labels))
        found.append({"name": camera.name, "steps": rows})
    values = {"cameras": found, "labels": list(labels)}
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")


def _row(period: Period, labels: dict[str, int]) -> list[Any]:
    """Return the start, the UTC offset and the length in minutes, then counts and milliseconds.

    A hidden period has -1 for its faces.
    """
    offset = period.start.utcoffset() or timedelta()
    start = int(period.start.timestamp() // 60)
    row: list[Any] = [
        start,
        int(offset.total_seconds() // 60),
        int(period.end.timestamp() // 60) - start,
    ]
    if period.is_hidden:
        return [*row, period.recorded_ms, -1]
    if period.recorded_ms or period.faces or period.departures:
        row += [period.recorded_ms, period.faces - period.arrivals, period.arrivals, period.face_ms]
        row += [period.departures, period.stay_ms, period.longest_ms]
        for label, ms in period.expressions.items():
            row += [labels.setdefault(label, len(labels)), ms]
    return row
