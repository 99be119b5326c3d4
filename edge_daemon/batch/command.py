"""The `classify` command: prints the faces of pictures and videos, one line per picture."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.batch.build import build_reader
from edge_daemon.batch.files import ClassifyError, Job, find_files
from edge_daemon.batch.output import Output
from edge_daemon.batch.ray import read_on_ray
from edge_daemon.batch.reader import FileReader, Result
from edge_daemon.batch.workers import read_in_processes
from edge_daemon.config.schema import Config
from edge_daemon.updates.build import with_fetched_model
from edge_daemon.updates.guard import ModelGuard


@dataclass(frozen=True, slots=True)
class Request:
    """The command line's arguments; `ray` is the address of a cluster, or ""."""

    paths: tuple[str, ...]
    out: Path | None = None
    format: str = "jsonl"
    workers: int | None = None
    ray: str = ""


def run(request: Request, config: Config) -> int:
    """Print the faces in the files; return 1 if a file could not be read. Raises UserError."""
    if request.out is not None:
        _make_folder(request.out)
    search = find_files(request.paths, request.out)
    config = with_fetched_model(config, ModelGuard(None))
    with closing(build_reader(config)) as reader:
        output = Output(request.format, reader.labels, jobs=search.jobs)
        try:
            for unreadable in search.unreadable:
                output.put(unreadable)
            with closing(_results(request, config, reader, search.jobs)) as results:
                for result in results:
                    output.put(result)
        finally:
            output.close(search.ignored)
    return 1 if output.skipped else 0


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClassifyError(f"--out {out}: {error.strerror}; name another folder") from error


def _results(
    request: Request, config: Config, reader: FileReader, jobs: Sequence[Job]
) -> Generator[Result]:
    """Read the jobs in this process, in several, or on a cluster; the results are the same."""
    settings = config.model_copy(update={"model": str(Path(config.model).resolve())})
    if request.ray:
        return read_on_ray(request.ray, settings.model_dump_json(), jobs)
    cores = len(os.sched_getaffinity(0))
    workers = min(request.workers or cores, len(jobs))
    if workers > 1:
        return read_in_processes(settings.model_dump_json(), jobs, workers)
    return (result for job in jobs for result in reader.read(job))
