"""Compares the cost of a frame in Mien with other programs, on real clips.

    python -m benchmarks.compare [FRAMES]        (make bench, make bench FRAMES=48)

The contenders are programs of their own, each in its own environment (`benchmarks/contenders/`).
They take turns, a few frames each, so that they share whatever else the machine does: compare the
ratios, not the milliseconds. Writes benchmarks/results.json and results.md, and puts the table of
all ways into the README. Four minutes on an idle machine.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from benchmarks.clips import ROOT, clips
from benchmarks.contender import Report
from benchmarks.latency import ages, percentiles
from benchmarks.load import cpu_s, memory_mb
from benchmarks.running import Running, compile_modules, daemon

FRAMES = 480  # by each contender
TURN = 24  # frames at a time
PUBLISHED = 1200  # frames whose latency is measured
STARTS = 3
DAEMON_S = 20.0
FACES = (0, 1, 4, 16)
VENVS = ROOT / ".venv"
EDGE = VENVS / "edge" / "bin" / "python"


class Way(NamedTuple):
    """A contender: its module, the Python that runs it, and its arguments."""

    name: str
    module: str
    python: Path
    arguments: tuple[str, ...] = ()

    @property
    def is_installed(self) -> bool:
        """Whether its environment is installed."""
        return self.python.exists()


SEED, FLOOR = "the seed's way", "the bare parts"
OURS, EVERY = "Mien", "Mien, every frame searched"
SEARCH_ALL = ("--interval", "1")
WAYS = (
    Way(SEED, "seed_way", VENVS / "dev" / "bin" / "python"),
    Way("the package `fer`", "fer_package", VENVS / "fer" / "bin" / "python"),
    Way("MediaPipe Tasks + our network", "mediapipe_tasks", VENVS / "mediapipe" / "bin" / "python"),
    Way(OURS, "ours", EDGE),
    Way(EVERY, "ours", EDGE, SEARCH_ALL),
    Way(FLOOR, "floor", EDGE),
    *(Way(f"{n} faces", "ours", EDGE, (*SEARCH_ALL, "--faces", str(n))) for n in FACES),
)


class Contender:
    """A contender's process, started and through its first frame after `start_s` seconds.

    Its standard error goes to `log`. RuntimeError where it ends unasked.
    """

    def __init__(self, way: Way, log: TextIO) -> None:
        self._way, self._log = way, log
        words = [*way.arguments, *map(str, clips())]
        started_s = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603
            [str(way.python), "-m", f"benchmarks.contenders.{way.module}", *words],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        self.start_s = float(self._answer()["first_s"]) - started_s

    def play(self, count: int) -> Report:
        """Process `count` frames and return the report."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process by closing its input."""
        self._process.communicate()

    def _answer(self) -> Report:
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"{self._way.name} ended: see {self._log.name}")
        return dict(json.loads(line))


class Tally(NamedTuple):
    """All start-up times and reports of one contender."""

    starts_s: list[float]
    reports: list[Report]

    def all(self, key: str) -> list[float]:
        return [value for report in self.reports for value in report[key]]

    def sum(self, key: str) -> float:
        return float(sum(report[key] for report in self.reports))


def compete(ways: Sequence[Way], frames: int, log: TextIO) -> dict[str, Tally]:
    """Start each of `ways` several times, then let them process `frames` frames in turns."""
    tallies = {way.name: Tally([], []) for way in ways}
    with ExitStack() as running:
        contenders = {}
        for start in range(STARTS):
            for way in ways:
                contenders[way.name] = contender = Contender(way, log)
                tallies[way.name].starts_s.append(contender.start_s)
                if start < STARTS - 1:
                    contender.close()
                else:
                    running.callback(contender.close)
        for turn in range(max(frames // TURN, 1)):
            print(f"turn {turn + 1} of {max(frames // TURN, 1)}", end="\r", file=sys.stderr)
            for name, contender in contenders.items():
                tallies[name].reports.append(contender.play(TURN))
    return tallies


def figures(tally: Tally) -> dict[str, float]:
    """Return a contender's row."""
    latency_ms = tally.all("latency_ms")
    cuts = statistics.quantiles(latency_ms, n=100, method="inclusive")
    return {
        "fps": 1000 * len(latency_ms) / sum(latency_ms),
        "cpu_ms": tally.sum("cpu_ms") / len(latency_ms),
        "p50_ms": cuts[49],
        "p95_ms": cuts[94],
        "memory_mb": tally.reports[-1]["memory_mb"],
        "start_s": statistics.median(tally.starts_s),
        "faces": tally.sum("faces") / len(latency_ms),
    }


def floor_ms(tally: Tally, faces: float) -> dict[str, float]:
    """Return the processor time of the bare parts for a frame with `faces` faces."""
    count = TURN * len(tally.reports)
    names = tally.reports[0]["parts"]
    once = {name: sum(r["parts"][name] for r in tally.reports) / count for name in names}
    each = {"classifier", "resize a face"}
    return {name: ms * (faces if name in each else 1) for name, ms in once.items()}


def published_ms(log: TextIO, frames: int) -> list[float]:
    """From capture to published view, of frames one after the other, all searched: no turns,
    after each of which the caches are cold."""
    contender = Contender(Way(EVERY, "ours", EDGE, SEARCH_ALL), log)
    contender.play(TURN)
    report = contender.play(frames)
    contender.close()
    return list(report["published_ms"])


def whole_daemon(folder: Path) -> dict[str, float]:
    """Measure the daemon itself on a clip at its own rate, with one viewer from the start."""
    starts_s = []
    for _ in range(STARTS):
        with _watched(folder) as (running, stream):
            starts_s.append(time.monotonic() - running.started_s)
    with _watched(folder) as (running, stream):
        frames, used_s = running.state()["frames"]["processed"], cpu_s(running.pid)
        sent_ms = [age.sent_ms for age in ages(stream, DAEMON_S)]
        used_s = cpu_s(running.pid) - used_s
        frames = running.state()["frames"]["processed"] - frames
        memory = memory_mb(running.pid)
    median, last = percentiles(sent_ms)
    return {
        "start_s": statistics.median(starts_s),
        "memory_mb": memory,
        "cpu_ms": 1000 * used_s / frames,
        "sent_p50_ms": median,
        "sent_p99_ms": last,
    }


@contextmanager
def _watched(folder: Path) -> Iterator[tuple[Running, Any]]:
    """Run a daemon on a clip and read the first picture of its stream."""
    with (
        daemon({"camera.source": clips()[0]}, folder, EDGE) as running,
        urllib.request.urlopen(running.stream, timeout=30) as stream,  # noqa: S310
    ):
        next(ages(stream, 30))
        yield running, stream


def measure(frames: int, folder: Path) -> dict[str, Any]:
    """Measure everything; `left_out` names the ways whose environment is not installed."""
    here = [way for way in WAYS if way.is_installed]
    with (folder / "contenders.log").open("w") as log:
        tallies = compete(here, frames, log)
        published = percentiles(published_ms(log, PUBLISHED))
    floor = tallies.pop(FLOOR)
    by_faces = {n: figures(tallies.pop(f"{n} faces")) for n in FACES}
    ways = {name: figures(tally) for name, tally in tallies.items()}
    return {
        "ways": ways,
        "left_out": [way.name for way in WAYS if way not in here],
        "floor_ms": floor_ms(floor, ways[OURS]["faces"]),
        "by_faces": by_faces,
        "published_ms": {"p50": published[0], "p99": published[1]},
        "daemon": whole_daemon(folder),
    }


def ways_table(result: Mapping[str, Any]) -> str:
    """Return the contenders' rows as Markdown."""
    ours = result["ways"][OURS]["cpu_ms"]
    heads = "| way | CPU ms a frame | of Mien's | frames a second | p50, p95 ms | MB | start s |"
    lines = [heads, "|---|---|---|---|---|---|---|"]
    for name, row in result["ways"].items():
        lines.append(
            f"| {name} | {row['cpu_ms']:.1f} | {row['cpu_ms'] / ours:.1f} × | {row['fps']:.0f} | "
            f"{row['p50_ms']:.1f}, {row['p95_ms']:.1f} | {row['memory_mb']:.0f} | "
            f"{row['start_s']:.1f} |"
        )
    bare = sum(result["floor_ms"].values())
    lines.append(f"| {FLOOR}, alone in a loop | {bare:.1f} | {bare / ours:.1f} × | | | | |")
    lines += [f"| {name}: not installed | | | | | | |" for name in result["left_out"]]
    return "\n".join(lines)


def goals_table(result: Mapping[str, Any]) -> str:
    """Return what was aimed at and what was measured, as Markdown."""
    ours, whole = result["ways"][OURS], result["daemon"]
    every, seed = result["ways"][EVERY], result["ways"][SEED]["cpu_ms"]
    floor = sum(result["floor_ms"].values())
    published = result["published_ms"]
    tail = published["p99"] / published["p50"]
    sent = whole["sent_p99_ms"] / whole["sent_p50_ms"]
    sent_ms = f"{whole['sent_p50_ms']:.1f} and {whole['sent_p99_ms']:.1f} ms"
    published_ms = f"{published['p50']:.1f} and {published['p99']:.1f} ms"
    rows = [
        ("CPU a frame, seed's way ÷ Mien", "≥ 40", f"{seed / ours['cpu_ms']:.1f}"),
        ("where every frame is searched", "", f"{seed / every['cpu_ms']:.1f}"),
        ("CPU a frame, Mien ÷ bare parts", "≤ 1.10", f"{ours['cpu_ms'] / floor:.2f}"),
        ("where every frame is searched", "≤ 1.10", f"{every['cpu_ms'] / floor:.2f}"),
        ("memory of the daemon, one viewer", "≤ 130 MB", f"{whole['memory_mb']:.0f} MB"),
        ("exec to first picture at the viewer", "≤ 0.6 s", f"{whole['start_s']:.2f} s"),
        (f"capture to published view, p99 ÷ p50 ({published_ms})", "≤ 2", f"{tail:.1f}"),
        (f"capture to sent by the daemon, p99 ÷ p50 ({sent_ms})", "≤ 2", f"{sent:.1f}"),
        ("CPU of the whole daemon a frame, decoding too", "", f"{whole['cpu_ms']:.1f} ms"),
    ]
    lines = ["| | goal | measured |", "|---|---|---|"]
    return "\n".join(lines + [f"| {what} | {goal} | {got} |" for what, goal, got in rows])


def faces_table(result: Mapping[str, Any]) -> str:
    """Return what a frame costs by its faces, and what the bare parts cost, as Markdown."""
    by_faces, parts = result["by_faces"], result["floor_ms"]
    faces = {f"Mien, {n} face{'s' * (n != 1)}": row["cpu_ms"] for n, row in by_faces.items()}
    bare = {f"bare: {name}": ms for name, ms in parts.items()}
    rows = [f"| {name} | {ms:.2f} |" for name, ms in (faces | bare).items()]
    return "\n".join(["| | CPU ms a frame |", "|---|---|", *rows])


def note(result: Mapping[str, Any]) -> str:
    """Return what was measured on what."""
    faces = ", ".join(f"{name} {row['faces']:.2f}" for name, row in result["ways"].items())
    return (
        f"The real clips at 640×480, {result['frames']} frames each, in turns of {TURN}; one "
        f"viewer, JPEG quality 80; {result['where']}. Decoding the clips is not counted. Faces "
        f"found a frame: {faces}. Mien looks for faces some 15 times a second, and four of the "
        "five clips have 30 frames a second; what a frame costs by its faces, and its latency, "
        "are those of frames that are searched. Made by `make bench`."
    )


def put_into_readme(table: str, readme: Path) -> None:
    """Replace the table of all ways in the README by `table`."""
    text = readme.read_text()
    start = text.index(table.splitlines()[0])
    end = text.index("\n\n", start)
    readme.write_text(text[:start] + table + text[end:])


def main() -> None:
    """Measure, print the tables, and write both result files and the README's table."""
    frames = max(int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES, TURN) // TURN * TURN
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    folder = Path(tempfile.mkdtemp(prefix="mien-bench-"))
    compile_modules(ROOT, EDGE)
    where = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    if os.sched_getscheduler(0) == os.SCHED_FIFO:
        where += ", real-time priority (chrt -f 50), beside other work"
    result = {"where": where, "frames": frames, **measure(frames, folder)}
    tables = [make(result) for make in (ways_table, goals_table, faces_table)]
    text = "\n\n".join([note(result), *tables])
    print(text)
    here = Path(__file__).parent
    (here / "results.md").write_text(text + "\n")
    (here / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    put_into_readme(tables[0], ROOT / "README.md")


if __name__ == "__main__":
    main()
