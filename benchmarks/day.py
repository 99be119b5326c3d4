"""What a camera costs day and night: whole programs beside each other, from camera to viewers.

    make bench-day                    (8 minutes; writes benchmarks/day.md and day.json)
    make bench-day WINDOW=1           (a check of the benchmark: 1 second a figure, written nowhere)
    make bench-day BESIDE=../before   (also the daemon of another checkout)

A camera on loopback plays JPEG pictures of a scene; its own cost is not counted. The programs take
turns: compare what one run says of them, not the seconds of two. Needs Debian's motion, ustreamer
and gcc. Processor time is that of a program's whole process, read from the kernel.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.clips import ROOT
from benchmarks.load import close, connect, family_cpu_s, proportional_mb, read_all
from benchmarks.loopback_camera import loopback_camera
from benchmarks.peers import DRAWN, NOBODY, PASSED, Camera, Peer
from benchmarks.scenes import SCENES, Mode, write_pictures

MODES = [Mode(640, 480, 15), Mode(1280, 720, 30), Mode(1920, 1080, 30)]
WINDOW_S = 5.0  # of a figure
SETTLE_S = 2.0  # from the first picture on, and a quarter of it when a viewer comes
EMPTY_H, FACE_H = 22, 2  # of a day
OURS, BEFORE, FLOOR, MOTION, USTREAMER, SEED = (
    "Mien",
    "Mien before",
    "the bare parts",
    "motion",
    "ustreamer",
    "the seed's way",
)
EMPTY, ONE, FOUR = SCENES

Program = Callable[[Camera, Path], AbstractContextManager[Peer]]
Row = dict[str, Any]


def programs(scene: str, before: Path | None) -> dict[str, Program]:
    """Return the programs to be run for a scene; what a picture shows is nothing to ustreamer."""
    result: dict[str, Program] = {OURS: peers.mien}
    if before is not None:
        result[BEFORE] = partial(peers.mien, checkout=before)
    if scene == ONE:
        result |= {FLOOR: peers.floor, USTREAMER: peers.ustreamer}
    return result | {MOTION: peers.motion, SEED: peers.seed}


def measured(camera: Camera, program: Program, folder: Path, window_s: float) -> list[Row]:
    """Run a program and return a row for each kind of viewer it has.

    What it writes stays in `folder`: only the first of its starts is one with a new model, which
    the daemon tries in a process of its own.
    """
    rows = []
    with program(camera, folder) as peer:
        time.sleep(SETTLE_S)
        for viewer, path in peer.paths.items():
            request = f"GET {path} HTTP/1.0\r\n\r\n".encode()
            sockets = connect(peer.port, 1, request) if path else []
            read_all(sockets, SETTLE_S / 4)
            rows.append({"viewer": viewer, **_window(peer, sockets, window_s)})
            close(sockets)
        memory_mb = proportional_mb(peer.pid)
    return [row | {"start_s": peer.start_s, "memory_mb": memory_mb} for row in rows]


def _window(peer: Peer, sockets: Sequence[Any], window_s: float) -> Row:
    """Measure for `window_s`; what asking for the counts costs is not counted."""
    before = peer.counts()
    started_s, used_s = time.monotonic(), family_cpu_s(peer.pid)
    pictures = sum(read_all(sockets, window_s))
    used_s, took_s = family_cpu_s(peer.pid) - used_s, time.monotonic() - started_s
    after = peer.counts()
    row: Row = {"cpu_s": used_s, "took_s": took_s, "pictures": pictures}
    if before.frames is not None and after.frames is not None:
        row["frames"] = after.frames - before.frames
    if before.searches is not None and after.searches is not None:
        row["searches"] = after.searches - before.searches
    return row


class Results:
    """The rows of a run."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def find(self, program: str, mode: Mode, scene: str, viewer: str) -> Row | None:
        """Return a row; None if the program has none of that kind."""
        wanted = (program, str(mode), scene, viewer)
        keys = ("program", "mode", "scene", "viewer")
        return next((row for row in self._rows if tuple(row[key] for key in keys) == wanted), None)

    def share(self, program: str, mode: Mode, scene: str, viewer: str = NOBODY) -> float:
        """Return the processor time as a share of one core."""
        row = self.find(program, mode, scene, viewer)
        return float(row["cpu_s"] / row["took_s"]) if row else float("nan")

    def of(self, program: str, mode: Mode, key: str) -> list[float]:
        """Return a figure of a program's runs with the cameras of `mode`."""
        return [
            row[key] for row in self._rows if (row["program"], row["mode"]) == (program, str(mode))
        ]

    @property
    def programs(self) -> list[str]:
        return list(dict.fromkeys(row["program"] for row in self._rows))


def frames_of(row: Row, mode: Mode) -> float:
    """Return the frames a program processed; all of the camera's if it does not tell."""
    return max(float(row.get("frames", mode.fps * row["took_s"])), 1.0)


def cost_table(results: Results, mode: Mode) -> str:
    """Return what each program takes with one kind of camera, as Markdown."""
    lines = [f"| {mode} | {' | '.join(SCENES)} |", "|---" * (len(SCENES) + 1) + "|"]
    for program in results.programs:
        for viewer in (NOBODY, DRAWN, PASSED):
            cells = [_cell(results.find(program, mode, scene, viewer), mode) for scene in SCENES]
            if any(cells):
                lines.append(f"| {program}, {viewer} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Row | None, mode: Mode) -> str:
    """Return processor seconds a minute, and milliseconds a frame."""
    if row is None:
        return ""
    frames = frames_of(row, mode)
    cell = f"{60 * row['cpu_s'] / row['took_s']:.2f} ({1000 * row['cpu_s'] / frames:.2f})"
    rate = frames / row["took_s"]
    return cell if rate > 0.95 * mode.fps else f"{cell}, {rate:.0f} frames a second"


def day_table(results: Results) -> str:
    """Return what a day takes without viewers, and start and memory, as Markdown."""
    heads = "| camera, program | core minutes a day | of Mien's | MB | first picture, s |"
    lines = [heads, "|---|---|---|---|---|"]
    for mode in MODES:
        ours = _day_min(results, OURS, mode)
        for program in results.programs:
            if program == FLOOR:
                continue
            day_min = _day_min(results, program, mode)
            memory = max(results.of(program, mode, "memory_mb"))
            start_s = statistics.median(results.of(program, mode, "start_s"))
            lines.append(
                f"| {mode}, {program} | {day_min:.0f} | {day_min / ours:.2f} × | {memory:.0f} | "
                f"{start_s:.2f} |"
            )
    return "\n".join(lines)


def _day_min(results: Results, program: str, mode: Mode) -> float:
    """Return the minutes of one core that a day takes; ustreamer's scenes cost it the same."""
    face = results.share(program, mode, ONE)
    empty = face if program == USTREAMER else results.share(program, mode, EMPTY)
    return 60 * (EMPTY_H * empty + FACE_H * face)


def goals_table(results: Results) -> str:
    """Return what was aimed at and what was measured, as Markdown."""
    small, _, large = MODES
    rows = []
    if BEFORE in results.programs:
        ratio = results.share(OURS, small, EMPTY) / results.share(BEFORE, small, EMPTY)
        rows.append((f"empty room at {small}, Mien ÷ before", "≤ 0.2", f"{ratio:.2f}"))
    floor = results.share(OURS, small, ONE) / results.share(FLOOR, small, ONE)
    what = f"one face at {small}, the whole daemon ÷ half-scale decoding and the bare parts"
    rows.append((what, "≤ 1.3", f"{floor:.2f}"))
    searched = [_searched_ms(results, mode) for mode in (large, small)]
    rows.append(
        (
            f"one face, CPU for a searched frame, {large} ÷ {small}",
            "≤ 2",
            f"{searched[0] / searched[1]:.2f} ({searched[0]:.1f} ÷ {searched[1]:.1f} ms)",
        )
    )
    for mode in MODES:
        passed = results.share(OURS, mode, ONE, PASSED)
        more = passed - results.share(OURS, mode, ONE)
        theirs = results.share(USTREAMER, mode, ONE, PASSED)
        rows.append(
            (
                f"a viewer of the pass-through at {mode}, Mien's more ÷ ustreamer",
                "≤ 1.3",
                f"{more / theirs:.2f} ({100 * more:.2f} ÷ {100 * theirs:.2f} % of a core)",
            )
        )
    for mode, goal in ((small, 130), (large, 170)):
        memory = max(results.of(OURS, mode, "memory_mb"))
        rows.append((f"memory at {mode}", f"≤ {goal} MB", f"{memory:.0f} MB"))
    start_s = statistics.median(results.of(OURS, small, "start_s"))
    rows.append((f"exec to first picture at {small}", "≤ 0.6 s", f"{start_s:.2f} s"))
    lines = ["| | goal | measured |", "|---|---|---|"]
    return "\n".join(lines + [f"| {what} | {goal} | {got} |" for what, goal, got in rows])


def _searched_ms(results: Results, mode: Mode) -> float:
    """Return Mien's processor time for a frame that is searched, all it does included."""
    row = results.find(OURS, mode, ONE, NOBODY)
    return 1000 * float(row["cpu_s"]) / max(row["searches"], 1) if row else float("nan")


def note(window_s: float) -> str:
    """Return what was measured on what."""
    where = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    if os.sched_getscheduler(0) == os.SCHED_FIFO:
        where += ", real-time priority beside other work"
    return f"""\
Whole programs that read one MJPEG camera on loopback; {where}; {window_s:g} s a figure, in turns.
A cell is the processor seconds of a minute and, in brackets, the milliseconds of a frame. The one
face and the four are clips of people, enlarged, with a sensor's noise; in the empty room there is
nothing but that noise. Mien and motion receive the pictures over HTTP. ustreamer reads V4L2
devices alone: a preloaded library (`benchmarks/native/jpeg_device.c`) gives it the same pictures,
at no cost. The bare parts are half-scale decoding, the detector and the classifier, once for each
picture, at the camera's pace and without receiving it. motion looks for motion, not for faces; the
seed's way draws and encodes every frame, whoever watches, and serves nobody. A day has {EMPTY_H}
hours of the empty room and {FACE_H} of one face, without viewers. Memory is PSS, the highest of
all runs. Made by `make bench-day`."""


def main() -> None:
    """Measure, print the tables and write both result files; a short run writes nothing."""
    window_s = float(os.environ.get("WINDOW") or WINDOW_S)
    beside = os.environ.get("BESIDE")
    before = Path(beside).resolve() if beside else None
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name:
        folder = Path(name)
        write_pictures(folder, MODES)
        with loopback_camera(folder) as url:
            for mode in MODES:
                for scene, faces in SCENES.items():
                    pictures = folder / f"{faces}-{mode.size}"
                    camera = Camera(f"{url}/{pictures.name}/{mode.fps}", pictures, mode)
                    for program, run in programs(scene, before).items():
                        print(f"{mode}, {scene}: {program}", file=sys.stderr)
                        known = {"program": program, "mode": str(mode), "scene": scene}
                        state = folder / program
                        state.mkdir(exist_ok=True)
                        rows += [known | row for row in measured(camera, run, state, window_s)]
    results = Results(rows)
    tables = [*(cost_table(results, mode) for mode in MODES), day_table(results)]
    text = "\n\n".join([note(window_s), *tables, goals_table(results)])
    print(text)
    if window_s >= WINDOW_S:
        here = ROOT / "benchmarks"
        (here / "day.md").write_text(text + "\n")
        (here / "day.json").write_text(
            json.dumps({"window_s": window_s, "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
