"""What a camera costs day and night: whole programs beside each other, from camera to viewers.

    make bench-day                    (12 minutes; writes benchmarks/day.md and day.json)
    make bench-day WINDOW=1           (a check of the benchmark: 1 second a figure, written nowhere)
    make bench-day BESIDE=../before   (with the daemon of another checkout, in each scene)

A camera on loopback plays JPEG pictures of a scene; its own cost is not counted. The programs take
turns: compare what one run says of them, not the seconds of two. Needs Debian's motion, ustreamer
and gcc. Processor time is that of a program's whole process, read from the kernel. The empty room
is compared with the commit BEFORE_COMMIT, whose files git has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.clips import ROOT, clips
from benchmarks.day_tables import (
    BEFORE,
    BEFORE_COMMIT,
    EMPTY,
    FLOOR,
    FOUR,
    MODES,
    MOTION,
    ONE,
    OURS,
    SEED,
    USTREAMER,
    Results,
    Row,
    cost_table,
    day_table,
    goals_table,
    note,
)
from benchmarks.latency import ages
from benchmarks.load import close, connect, family_cpu_s, proportional_mb, read_all
from benchmarks.loopback_camera import loopback_camera
from benchmarks.peers import DRAWN, EDGE, Camera, Peer
from benchmarks.running import compile_modules, daemon
from benchmarks.scenes import SCENES, write_pictures

WINDOW_S = 5.0  # of a figure
SETTLE_S = 2.0  # from the first picture on, and a quarter of it when a viewer comes
TURNS = 3  # of what a goal compares at the smallest size; the median counts
SENT_WINDOWS = 4  # in which the ages of sent pictures are collected
COMPARED = frozenset({OURS, BEFORE, FLOOR, USTREAMER})
BLAZEFACE = "face_detection_*.tflite"  # which git does not have

Program = Callable[[Camera, Path], AbstractContextManager[Peer]]


def before_checkout(folder: Path) -> Path:
    """Put the daemon of BEFORE_COMMIT into `folder`, and return its place."""
    files = ("edge_daemon", "models")
    words = [peers.path_of("git"), "archive", "--format=tar", BEFORE_COMMIT, *files]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(
            f"git has no commit {BEFORE_COMMIT[:12]}, with which the empty room is compared: fetch "
            "the whole history with git fetch --unshallow, or name a checkout as BESIDE="
        )
    place = folder / "before"
    place.mkdir()
    subprocess.run(["tar", "-x", "-C", str(place)], input=done.stdout, check=True)  # noqa: S603, S607
    for model in (ROOT / "models").glob(BLAZEFACE):
        shutil.copy(model, place / "models")
    return place


def programs(scene: str, before: Program, *, everywhere: bool = False) -> dict[str, Program]:
    """Return the programs to be run for a scene; what a picture shows is nothing to ustreamer.

    `before` is run in the empty room, or `everywhere`.
    """
    result: dict[str, Program] = {OURS: peers.mien}
    if scene == EMPTY or everywhere:
        result[BEFORE] = before
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


def sent_ms(camera: Camera, folder: Path, window_s: float) -> list[float]:
    """Return the ages at which the daemon sends the pictures of its drawn stream."""
    with peers.mien(camera, folder) as peer:
        url = f"http://127.0.0.1:{peer.port}{peer.paths[DRAWN]}"
        with urllib.request.urlopen(url, timeout=30) as stream:
            list(ages(stream, SETTLE_S))
            return [age.sent_ms for age in ages(stream, SENT_WINDOWS * window_s)]


def clip_mb(folder: Path, window_s: float) -> float:
    """Return the memory of a daemon that plays a clip of 640×480 to a viewer."""
    settings = {"camera.source": clips()[0], "camera.loop": True}
    with daemon(settings, folder, EDGE) as running:
        viewers = connect(running.port, 1, b"GET /stream.mjpg HTTP/1.0\r\n\r\n")
        read_all(viewers, SETTLE_S + window_s)
        memory_mb = proportional_mb(running.pid)
        close(viewers)
    return memory_mb


def run_all(
    url: str, folder: Path, before: Program, window_s: float, *, everywhere: bool
) -> list[Row]:
    """Run every program with every camera, those that a goal compares several times in turns."""
    rows: list[Row] = []
    for mode in MODES:
        for scene, faces in SCENES.items():
            pictures = folder / f"{faces}-{mode.size}"
            camera = Camera(f"{url}/{pictures.name}/{mode.fps}", pictures, mode)
            chosen = programs(scene, before, everywhere=everywhere)
            for turn in range(TURNS if mode == MODES[0] and scene != FOUR else 1):
                for program, run in chosen.items():
                    if turn and program not in COMPARED:
                        continue
                    print(f"{mode}, {scene}: {program}", file=sys.stderr)
                    known: Row = {"program": program, "mode": str(mode), "scene": scene}
                    state = folder / program
                    state.mkdir(exist_ok=True)
                    found = measured(camera, run, state, window_s)
                    rows += [known | {"turn": turn} | row for row in found]
    return rows


def main() -> None:
    """Measure, print the tables and write both result files; a short run writes nothing."""
    window_s = float(os.environ.get("WINDOW") or WINDOW_S)
    beside = os.environ.get("BESIDE")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name:
        folder = Path(name)
        checkout = Path(beside).resolve() if beside else before_checkout(folder)
        for each in (ROOT, checkout):
            compile_modules(each, EDGE)
        before = partial(peers.mien, checkout=checkout)
        write_pictures(folder, MODES)
        with loopback_camera(folder) as url:
            rows = run_all(url, folder, before, window_s, everywhere=bool(beside))
            mode, faces = MODES[0], SCENES[ONE]
            pictures = folder / f"{faces}-{mode.size}"
            camera = Camera(f"{url}/{pictures.name}/{mode.fps}", pictures, mode)
            sent = sent_ms(camera, folder / OURS, window_s)
        clip = clip_mb(folder / OURS, window_s)
    results = Results(rows)
    tables = [*(cost_table(results, mode) for mode in MODES), day_table(results)]
    text = "\n\n".join([note(window_s), *tables, goals_table(results, sent, clip)])
    print(text)
    if window_s >= WINDOW_S:
        here = ROOT / "benchmarks"
        (here / "day.md").write_text(text + "\n")
        kept = {"window_s": window_s, "rows": rows, "sent_ms": sent, "clip_mb": clip}
        (here / "day.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
