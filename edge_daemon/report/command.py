"""The `report` command: writes the totals of event logs as a page or as tables."""

from __future__ import annotations

import csv
import importlib.util
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfoNotFoundError

from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.files import replace_file
from edge_daemon.core.text import table_cell
from edge_daemon.history.report import Step
from edge_daemon.history.table import labels_of, rows_of
from edge_daemon.history.zone import zone_named
from edge_daemon.report.archive import EventArchive, MemoryArchive, logs_in
from edge_daemon.report.totals import CameraTotals, count

SUFFIXES: Final = (".html", ".csv", ".parquet")


class ReportRefused(UserError):
    """The report cannot be made as requested; the message says why."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """The options of the command; the suffix of each of `outputs` decides its format."""

    logs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    step: Step
    time_zone: str
    least_faces: int = 0


def run(request: ReportRequest) -> int:
    """Write the report, and print what was written. Raises UserError."""
    zone = _zone(request.time_zone)
    _check(request.outputs)
    paths = logs_in(request.logs)
    with tempfile.TemporaryDirectory(prefix="mien-report-") as name:
        folder = Path(name)
        archive = _archive(paths, folder)
        try:
            cameras = count(
                archive,
                folder=folder,
                zone=zone,
                by_minute=request.step == "minute",
                least_faces=request.least_faces,
            )
        except sqlite3.Error as error:
            raise ReportRefused(
                f"{folder}: the totals cannot be written: {reason_of(error)}; "
                "fix: set TMPDIR to a folder with more room."
            ) from error
        if not cameras:
            raise ReportRefused(
                f"{paths[0]}: there is no event in these logs; name event logs of Mien."
            )
        for output in request.outputs:
            try:
                _write(output, cameras, request.step, files=len(paths), folder=folder)
            except OSError as error:
                raise ReportRefused(f"{output} cannot be written: {reason_of(error)}.") from error
            print(f"{output}: {len(cameras)} {'camera' if len(cameras) == 1 else 'cameras'}")
    if archive.skipped:
        is_one = archive.skipped == 1
        print(
            "1 line is not an event and was skipped"
            if is_one
            else f"{archive.skipped:,} lines are not events and were skipped"
        )
    return 0


def _zone(name: str) -> tzinfo:
    try:
        return zone_named(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ReportRefused(
            f"--time-zone {name}: there is no such time zone; name one such as Europe/Berlin."
        ) from error


def _check(outputs: Sequence[Path]) -> None:
    for output in outputs:
        if output.suffix not in SUFFIXES:
            raise ReportRefused(f"{output}: name a file that ends with {' or '.join(SUFFIXES)}.")
        if not output.parent.is_dir():
            raise ReportRefused(f"{output}: the folder {output.parent} does not exist; create it.")
        if output.suffix == ".parquet" and not _has_duckdb():
            raise ReportRefused(f"{output}: Parquet needs DuckDB; fix: pip install duckdb.")


def _has_duckdb() -> bool:
    return importlib.util.find_spec("duckdb") is not None


def _archive(paths: Sequence[Path], folder: Path) -> EventArchive:
    """Read the logs: with DuckDB if it is installed, else with Python alone."""
    if not _has_duckdb():
        return MemoryArchive(paths)
    from edge_daemon.report.duck import DuckArchive  # noqa: PLC0415

    return DuckArchive(paths, folder=folder)


def _write(
    output: Path, cameras: Sequence[CameraTotals], step: Step, *, files: int, folder: Path
) -> None:
    if output.suffix == ".html":
        from edge_daemon.report.page import report_page  # noqa: PLC0415

        until = max(camera.last for camera in cameras)
        page = report_page(cameras, files=files, events_to=until)
        replace_file(output, page.encode())
    elif output.suffix == ".csv":
        _write_table(output, cameras, step, table_cell)
    else:
        from edge_daemon.report.duck import write_parquet  # noqa: PLC0415

        table = folder / "table.csv"
        _write_table(table, cameras, step, lambda value: value)
        write_parquet(table, output)


def _write_table(
    path: Path,
    cameras: Sequence[CameraTotals],
    step: Step,
    cell: Callable[[object], object],
) -> None:
    """Write a row for each period of each camera."""
    labels = sorted({label for camera in cameras for label in labels_of(camera.periods("day"))})
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        for number, camera in enumerate(cameras):
            for row in rows_of(camera.periods(step), labels):
                if number == 0 and file.tell() == 0:
                    table.writerow([cell(name) for name in ("camera", *row)])
                table.writerow([cell(camera.name), *(cell(value) for value in row.values())])
