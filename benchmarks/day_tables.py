"""The tables of `make bench-day`: costs, a day, and what was aimed at."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.latency import percentiles
from benchmarks.peers import DRAWN, NOBODY, PASSED
from benchmarks.scenes import SCENES, Mode

MODES = [Mode(640, 480, 15), Mode(1280, 720, 30), Mode(1920, 1080, 30)]
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
# The last commit that searched every frame of an empty room.
BEFORE_COMMIT = "699654c0340a9011b56c5227b960fdbf3347c575"

Row = dict[str, Any]


class Results:
    """The rows of a run; of programs that took several turns, the one of the median counts."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def find(self, program: str, mode: Mode, scene: str, viewer: str) -> Row | None:
        """Return a row; None if the program has none of that kind."""
        wanted = (program, str(mode), scene, viewer)
        keys = ("program", "mode", "scene", "viewer")
        found = [row for row in self._rows if tuple(row[key] for key in keys) == wanted]
        found.sort(key=lambda row: float(row["cpu_s"] / row["took_s"]))
        return found[len(found) // 2] if found else None

    def share(self, program: str, mode: Mode, scene: str, viewer: str = NOBODY) -> float:
        """Return the processor time as a share of one core."""
        row = self.find(program, mode, scene, viewer)
        return float(row["cpu_s"] / row["took_s"]) if row else float("nan")

    def more(self, program: str, mode: Mode, scene: str, viewer: str) -> float:
        """Return what a viewer adds to the share of a core, each turn compared with itself."""
        wanted = (program, str(mode), scene)
        shares: dict[tuple[int, str], float] = {
            (row["turn"], row["viewer"]): row["cpu_s"] / row["took_s"]
            for row in self._rows
            if (row["program"], row["mode"], row["scene"]) == wanted
        }
        turns = {turn for turn, _ in shares}
        return statistics.median(shares[turn, viewer] - shares[turn, NOBODY] for turn in turns)

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
            day_min = _day_min(results, program, mode)
            if program == FLOOR or math.isnan(day_min):
                continue
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


def goals_table(results: Results, sent: Sequence[float], memory_of_clip_mb: float) -> str:
    """Return what was aimed at and what was measured, as Markdown."""
    small, _, large = MODES
    rows = []
    for mode in MODES:
        ratio = results.share(OURS, mode, EMPTY) / results.share(BEFORE, mode, EMPTY)
        goal = "≤ 0.2" if mode == small else ""
        rows.append((f"empty room at {mode}, Mien ÷ before", goal, f"{ratio:.3f}"))
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
        more = results.more(OURS, mode, ONE, PASSED)
        theirs = results.share(USTREAMER, mode, ONE, PASSED)
        rows.append(
            (
                f"a viewer of the pass-through at {mode}, Mien's more ÷ ustreamer",
                "≤ 1.3",
                f"{more / theirs:.2f} ({100 * more:.2f} ÷ {100 * theirs:.2f} % of a core)",
            )
        )
    for mode, most_mb in ((small, 130), (large, 170)):
        memory = max(results.of(OURS, mode, "memory_mb"))
        rows.append((f"memory at {mode}", f"≤ {most_mb} MB", f"{memory:.0f} MB"))
    rows.append(("memory with a clip of 640×480", "≤ 130 MB", f"{memory_of_clip_mb:.0f} MB"))
    start_s = statistics.median(results.of(OURS, small, "start_s"))
    rows.append((f"exec to first picture at {small}", "≤ 0.6 s", f"{start_s:.2f} s"))
    median, last = percentiles(list(sent))
    what = f"capture to sending, one face drawn at {small}, p99 ÷ median"
    rows.append((what, "≤ 2", f"{last / median:.1f} ({last:.1f} ÷ {median:.1f} ms)"))
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
picture, at the camera's pace and without receiving it. Mien before is its commit
{BEFORE_COMMIT[:12]}, which searched each frame of an empty room. motion looks for motion, not for
faces; the seed's way draws and encodes every frame, whoever watches, and serves nobody. A day has
{EMPTY_H} hours of the empty room and {FACE_H} of one face, without viewers. Memory is PSS, the
highest of all runs. results.md has the goals for the cost of a frame. Made by `make bench-day`."""
