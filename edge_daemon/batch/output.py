"""Prints records as JSON Lines or CSV, and messages, progress and a summary on stderr."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NoReturn, TextIO

from tqdm import tqdm

from edge_daemon.batch.files import Job, Unreadable
from edge_daemon.batch.reader import Record, Result
from edge_daemon.core.output import complain
from edge_daemon.core.types import Face

LONE_SURROGATE: Final = re.compile("[\udc80-\udcff]")
SINGULAR: Final = {"links to folders": "link to a folder"}
NAMED_KINDS: Final = 6  # of ignored files; the rest are counted together


class Output:
    """Writes records to stdout; errors, the progress bar and the summary go to stderr.

    The bar and the summary are shown on a terminal only.
    """

    def __init__(self, kind: str, labels: Sequence[str], *, jobs: Sequence[Job]) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # file names are written unchanged
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
        self._stdout = sys.stdout
        self._write = _writer(kind, self._stdout, labels)
        self._shares_terminal = self._stdout.isatty()
        self._started_s = time.monotonic()
        self._files: set[str] = set()
        self._faces = self.skipped = 0
        is_terminal = sys.stderr.isatty()
        self._bar: tqdm[NoReturn] = tqdm(
            total=sum(map(_pictures, jobs)) if is_terminal else None,
            file=sys.stderr,
            disable=not is_terminal,
            leave=False,
            dynamic_ncols=True,
            unit=" pictures",
        )

    def put(self, result: Result) -> None:
        """Print a record, or a message about a skipped file."""
        if isinstance(result, Unreadable):
            self.skipped += 1
            what = "the rest is skipped" if result.is_partly_read else "skipped"
            self._before_stderr()
            complain(printable(f"{result.reason}: {what}"))
            return
        if self._shares_terminal:
            self._bar.clear()
        self._write(result)
        self._files.add(result.file)
        self._faces += len(result.faces)
        self._bar.update()

    def close(self, ignored: Counter[str]) -> None:
        """Print the numbers of ignored files and the summary."""
        self._bar.close()
        if sentence := ignored_sentence(ignored):
            self._before_stderr()
            complain(printable(sentence))
        if sys.stderr.isatty():
            took_s = time.monotonic() - self._started_s
            self._before_stderr()
            print(
                f"{_count(len(self._files), 'file')}, {_count(self._faces, 'face')}, "
                f"{self.skipped} skipped, {took_s:.1f} s",
                file=sys.stderr,
            )

    def _before_stderr(self) -> None:
        self._stdout.flush()
        self._bar.clear()


def printable(text: str) -> str:
    """Escape control characters, with which a file name could control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def ignored_sentence(ignored: Counter[str]) -> str:
    """Return a sentence with the number of ignored files of each kind; "" if there are none."""
    counts = [(kind, count) for kind, count in sorted(ignored.items()) if count]
    if not counts:
        return ""
    counts.sort(key=lambda each: each[1], reverse=True)
    named, others = counts[:NAMED_KINDS], counts[NAMED_KINDS:]
    parts = [f"{count} {kind if count > 1 else _singular(kind)}" for kind, count in named]
    if others:
        parts.append(f"{sum(count for _, count in others)} others")
    return f"not read: {', '.join(parts)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _singular(kind: str) -> str:
    return SINGULAR.get(kind, kind.removesuffix("s"))


def as_json(record: Record, labels: Sequence[str]) -> str:
    """Return one line of JSON, without its line feed.

    Bytes of a file name that are not UTF-8 are escaped as Python's lone surrogates.
    """
    values: dict[str, Any] = {"file": record.file}
    if record.frame is not None:
        values |= {"frame": record.frame, "time_s": record.time_s}
    values["size"] = list(record.size)
    values["faces"] = [_face(face, labels) for face in record.faces]
    text = json.dumps(values, ensure_ascii=False, allow_nan=False)
    return LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def csv_header(labels: Sequence[str]) -> list[str]:
    """Return the names of the columns."""
    names = ["file", "frame", "time_s", "width", "height", "face", "label", "score", *labels]
    return [*names, "box_x", "box_y", "box_w", "box_h", "detection_score"]


def csv_rows(record: Record, labels: Sequence[str]) -> list[list[object]]:
    """Return one row per face, or one row with empty cells if there is no face."""
    place = [record.file, record.frame, record.time_s, *record.size]
    rows = []
    for face in record.faces:
        values = _face(face, labels)
        scores = [values["scores"].get(label) for label in labels]
        label, score, box = values["label"], values["score"], values["box"]
        rows.append([*place, face.id, label, score, *scores, *box, values["detection_score"]])
    return rows or [place + [None] * (len(csv_header(labels)) - len(place))]


def _pictures(job: Job) -> int:
    """Return the number of pictures in the file; for a video, the number in its header."""
    if job.kind == "picture":
        return 1
    from edge_daemon.capture.video import frame_count  # noqa: PLC0415 (pictures need no PyAV)

    return max(frame_count(job.path), 1)


def _face(face: Face, labels: Sequence[str]) -> dict[str, Any]:
    named: Iterable[tuple[str, float]] = zip(labels[: len(face.scores)], face.scores, strict=True)
    return {
        "id": face.id,
        "label": face.label,
        "score": round(face.score, 3),
        "scores": {label: round(score, 3) for label, score in named},
        "box": [round(value) for value in face.box],
        "detection_score": round(face.detection_score, 3),
    }


def _writer(kind: str, output: TextIO, labels: Sequence[str]) -> Callable[[Record], None]:
    if kind == "jsonl":
        return lambda record: print(as_json(record, labels), file=output)
    rows = csv.writer(output, lineterminator="\n")
    rows.writerow(csv_header(labels))
    return lambda record: rows.writerows(csv_rows(record, labels))
