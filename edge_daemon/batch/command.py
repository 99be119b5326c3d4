"""`classify`: pictures, folders and videos in, a line for each picture out, and annotated copies.

What cannot be read is named and skipped.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import cv2

from edge_daemon.batch.build import build_reader
from edge_daemon.batch.progress import ProgressBar
from edge_daemon.batch.ray import read_on_ray
from edge_daemon.batch.reader import VIDEO_SUFFIXES, FileReader, Job, Record, Result, Unreadable
from edge_daemon.batch.workers import WorkersLost, read_in_processes
from edge_daemon.capture.sources import IMAGE_SUFFIXES
from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError
from edge_daemon.core.types import Face
from edge_daemon.updates.build import with_fetched_model
from edge_daemon.updates.guard import ModelGuard


class ClassifyError(UserError):
    """What was asked for cannot be done; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for; `ray` is the address of a cluster, or ""."""

    paths: tuple[Path, ...]
    out: Path | None = None
    format: str = "jsonl"
    workers: int | None = None
    ray: str = ""


def run(request: Request, config: Config) -> int:
    """Print what is in the files; 1 if one could not be read. Raises UserError."""
    found = list(find(request.paths, request.out))
    jobs = [each for each in found if isinstance(each, Job)]
    refuse_overwriting(jobs)
    if request.out is not None:
        _make_folder(request.out)
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names come out as they are on the disk
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    config = with_fetched_model(config, ModelGuard(None))
    with closing(build_reader(config)) as reader:
        write = _writer(request.format, sys.stdout, reader.labels)
        bar = ProgressBar(sys.stderr, work(jobs) if sys.stderr.isatty() else 0)
        missing = [each for each in found if isinstance(each, Unreadable)]
        for each in missing:
            _name(each, bar)
        with closing(_results(request, config, reader, jobs)) as results:
            skipped = _print(results, write, bar)
    return 1 if missing or skipped else 0


def find(paths: Sequence[Path], out: Path | None = None) -> Iterator[Job | Unreadable]:
    """The files that `paths` name, a folder's sorted and with those of its folders.

    Copies in `out`, where that is inside a folder, are not read again.
    """
    taken: set[Path] = set()
    for path in paths:
        if not path.is_dir():
            if path.exists():
                yield _job(path, Path(path.name), out, taken)
            else:
                yield Unreadable(f"{path} does not exist")
            continue
        files = [file for file in sorted(path.rglob("*")) if _wanted(file, path, out)]
        if not files:
            yield Unreadable(f"the folder {path} has no picture and no video in it")
        for file in files:
            yield _job(file, file.relative_to(path), out, taken)


def refuse_overwriting(jobs: Sequence[Job]) -> None:
    """Raises ClassifyError if a copy would take the place of a file that is to be read."""
    read = {job.path for job in jobs}
    for job in jobs:
        if job.copy in read:
            raise ClassifyError(f"--out would overwrite {job.copy}: name another folder")


def work(jobs: Sequence[Job]) -> int:
    """How many pictures there are to read, as far as videos tell their length."""
    return sum(1 if job.is_image else max(_frames(job.path), 1) for job in jobs)


def as_json(record: Record, labels: Sequence[str]) -> str:
    """One line of JSON, without its line feed."""
    values: dict[str, Any] = {"file": record.file}
    if record.frame is not None:
        values |= {"frame": record.frame, "time_s": record.time_s}
    values["size"] = list(record.size)
    values["faces"] = [_face(face, labels) for face in record.faces]
    return json.dumps(values, ensure_ascii=False, allow_nan=False)


def csv_header(labels: Sequence[str]) -> list[str]:
    names = ["file", "frame", "time_s", "width", "height", "face", "label", "score", *labels]
    return [*names, "box_x", "box_y", "box_w", "box_h"]


def csv_rows(record: Record, labels: Sequence[str]) -> list[list[object]]:
    """A row for each face; where there is none, one with its cells empty."""
    place = [record.file, record.frame, record.time_s, *record.size]
    rows = []
    for face in record.faces:
        values = _face(face, labels)
        scores = [values["scores"].get(label) for label in labels]
        label, score = values["label"], values["score"]
        rows.append([*place, face.id, label, score, *scores, *values["box"]])
    return rows or [place + [None] * (len(csv_header(labels)) - len(place))]


def _face(face: Face, labels: Sequence[str]) -> dict[str, Any]:
    named = zip(labels[: len(face.scores)], face.scores, strict=True)
    return {
        "id": face.id,
        "label": face.label,
        "score": round(face.score, 3),
        "scores": {label: round(score, 3) for label, score in named},
        "box": [round(value) for value in face.box],
    }


def _wanted(file: Path, folder: Path, out: Path | None) -> bool:
    if file.suffix.lower() not in IMAGE_SUFFIXES | VIDEO_SUFFIXES or not file.is_file():
        return False
    inner = out is not None and out.resolve() != folder.resolve()
    return not (inner and out is not None and file.resolve().is_relative_to(out.resolve()))


def _job(path: Path, relative: Path, out: Path | None, taken: set[Path]) -> Job:
    """`relative` is the copy's place in `out`; two of the same name are told apart by a number."""
    job = Job(str(path), path.resolve())
    if out is None:
        return job
    place = relative if job.is_image else relative.with_suffix(".mp4")
    copy, number = out.resolve() / place, 1
    while copy in taken:
        number += 1
        copy = out.resolve() / place.with_stem(f"{place.stem}-{number}")
    taken.add(copy)
    return Job(job.name, job.path, copy)


def _frames(video: Path) -> int:
    capture = cv2.VideoCapture(str(video))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    return count


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClassifyError(f"--out {out}: {error.strerror}; name another folder") from error


def _results(
    request: Request, config: Config, reader: FileReader, jobs: Sequence[Job]
) -> Generator[Result]:
    """The same results whoever reads; one process alone gives a video's while it is read."""
    settings = config.model_copy(update={"model": str(Path(config.model).resolve())})
    if request.ray:
        return read_on_ray(request.ray, settings.model_dump_json(), jobs)
    cores = len(os.sched_getaffinity(0))
    workers = min(request.workers or cores, len(jobs))
    if workers > 1:
        return read_in_processes(settings.model_dump_json(), jobs, workers)
    return (result for job in jobs for result in reader.read(job))


def _writer(kind: str, output: TextIO, labels: Sequence[str]) -> Callable[[Record], None]:
    if kind == "jsonl":
        return lambda record: print(as_json(record, labels), file=output)
    rows = csv.writer(output, lineterminator="\n")
    rows.writerow(csv_header(labels))
    return lambda record: rows.writerows(csv_rows(record, labels))


def _print(results: Iterator[Result], write: Callable[[Record], None], bar: ProgressBar) -> int:
    """Write the records and name what is unreadable; how many of these."""
    skipped, one_terminal = 0, sys.stdout.isatty()
    try:
        for result in results:
            if isinstance(result, Unreadable):
                skipped += 1
                _name(result, bar)
                continue
            if one_terminal:
                bar.clear()
            write(result)
            bar.advance()
    except WorkersLost as error:
        skipped += 1
        bar.clear()
        print(f"edge_daemon: {error}", file=sys.stderr)
    bar.clear()
    return skipped


def _name(unreadable: Unreadable, bar: ProgressBar) -> None:
    bar.clear()
    print(f"edge_daemon: {unreadable.reason}: skipped", file=sys.stderr)
