"""Counts the instructions of a frame on arm64 and x86-64, because no Arm board is at hand.

    make bench-instructions        (as root; 5 minutes, the first time 3 more)

The frame path runs under QEMU's user-mode emulation of a Cortex-A72, the processor of a Raspberry
Pi 4, and of a Haswell. A plugin counts the instructions of each stage. Counts repeat within a
percent, on a busy machine too, so they show what a change costs on Arm. They are no times: how long
an instruction takes depends on its kind, on caches and on memory. Prints the change since the
committed counts; writes benchmarks/instructions.md and instructions.json. Needs Debian's
mmdebstrap, qemu-user and gcc.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.clips import ROOT
from benchmarks.peers import EDGE, path_of
from benchmarks.scenes import SCENES, Mode, write_pictures
from edge_daemon.core.types import FRAME, STAGES

MARK: Final = 0x4D1E0000  # as in native/count_instructions.c
ALL_STAGES: Final = ("between frames", *STAGES, FRAME, "draw and encode")
SHOWN_STAGES: Final = ALL_STAGES[1:]
WARM_FRAMES: Final = 4
PLACE: Final = ROOT / "build" / "instructions"
PACKAGES: Final = "libc6,python3,libpython3-stdlib,libstdc++6,libgcc-s1,zlib1g,libc-bin"
PLATFORMS: Final = [f"manylinux_2_{minor}_aarch64" for minor in (17, 27, 28, 31, 34, 36)]
PROCESSORS: Final = {"x86-64": "Haswell", "arm64": "Cortex-A72"}
CORE: Final = """\
processor\t: {}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""

Counts = dict[str, float]  # millions of instructions a frame, by stage
Results = dict[str, dict[str, Counts]]  # by scene and processor


def arm_root() -> Path:
    """Return a Debian for arm64 with what the daemon needs, unpacked once."""
    root = PLACE / "bookworm"
    if not root.exists():
        partial = PLACE / "bookworm.partial"
        make = [path_of("mmdebstrap"), "--quiet", "--mode=root", "--variant=extract"]
        make += ["--architectures=arm64", f"--include={PACKAGES}", "bookworm", str(partial)]
        subprocess.run(make, check=True)  # noqa: S603
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
        install += ["--target", str(partial / "site"), "--python-version", "3.11"]
        install += [word for each in PLATFORMS for word in ("--platform", each)]
        subprocess.run(  # noqa: S603
            [*install, *project["optional-dependencies"]["edge"]], check=True
        )
        _describe_processor(partial)
        partial.rename(root)
    return root


def _describe_processor(root: Path) -> None:
    """Write what the kernel says of a Raspberry Pi 4; XNNPACK chooses its kernels by it.

    The emulator would show it the files of this machine, on which it crashes.
    """
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text("".join(CORE.format(n) for n in range(4)))
    cores = root / "sys" / "devices" / "system" / "cpu"
    cores.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present"):
        (cores / name).write_text("0-3\n")


def plugin() -> Path:
    """Return the plugin, compiled."""
    built = PLACE / "count_instructions.so"
    source = ROOT / "benchmarks" / "native" / "count_instructions.c"
    words = [path_of("gcc"), "-O2", "-shared", "-fPIC", "-o", str(built), str(source)]
    subprocess.run(words, check=True)  # noqa: S603
    return built


def count(emulator: Sequence[str], python: Path, path: str, pictures: Path) -> Counts:
    """Run the frame path under `emulator` and return its counts; `path` has the packages."""
    with tempfile.TemporaryDirectory() as folder:
        marks = Path(folder) / "marks"
        words = [*emulator, "-plugin", f"{plugin()},to={marks}", str(python)]
        subprocess.run(  # noqa: S603
            [*words, "-m", "benchmarks.contenders.counted", str(pictures)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            check=True,
            stderr=subprocess.DEVNULL,
        )
        lines = [line.split() for line in marks.read_text().splitlines()]
    return mean_counts([(ALL_STAGES[int(stage)], int(number)) for stage, number in lines])


def mean_counts(marks: Sequence[tuple[str, int]]) -> Counts:
    """Return millions of instructions a frame, without the first WARM_FRAMES."""
    starts = [number for number, (stage, _) in enumerate(marks) if stage == ALL_STAGES[0]]
    counted = marks[starts[WARM_FRAMES] :]
    frames = len(starts) - WARM_FRAMES
    return {
        stage: sum(number for each, number in counted if each == stage) / frames / 1e6
        for stage in SHOWN_STAGES
    }


def measured(folder: Path) -> Results:
    """Return the counts by scene and processor."""
    root = arm_root()
    arm = [path_of("qemu-aarch64"), "-cpu", "cortex-a72", "-L", str(root)]
    x86 = [path_of("qemu-x86_64"), "-cpu", "Haswell"]
    write_pictures(folder, [Mode(640, 480, 15)])
    result: Results = {}
    for scene, faces in SCENES.items():
        pictures = folder / f"{faces}-640x480"
        print(f"counting: {scene}", file=sys.stderr)
        result[scene] = {
            "x86-64": count(x86, EDGE, str(ROOT), pictures),
            "arm64": count(arm, root / "usr/bin/python3.11", f"{ROOT}:{root}/site", pictures),
        }
    return result


def table(result: Results) -> str:
    """Return the counts as Markdown."""
    scenes = list(result)
    heads = [f"{scene}, {processor}" for scene in scenes for processor in PROCESSORS]
    lines = [f"| million instructions a frame | {' | '.join(heads)} |"]
    lines.append("|---" * (len(heads) + 1) + "|")
    columns = [result[scene][processor] for scene in scenes for processor in PROCESSORS]
    for stage in SHOWN_STAGES:
        lines.append(f"| {stage} | {' | '.join(f'{each[stage]:.2f}' for each in columns)} |")
    totals = [sum(each.values()) for each in columns]
    lines.append(f"| all | {' | '.join(f'{total:.2f}' for total in totals)} |")
    return "\n".join(lines)


def changes(before: Results, now: Results) -> str:
    """Return how the totals have changed, a line for each scene and processor."""
    lines = []
    for scene, by_processor in now.items():
        for processor, counts in by_processor.items():
            old = sum(before.get(scene, {}).get(processor, {}).values())
            change = f"{100 * (sum(counts.values()) / old - 1):+.1f} %" if old else "new"
            lines.append(f"{scene}, {processor}: {change}")
    return "\n".join(lines)


def main() -> None:
    """Count, print what has changed, and write both files."""
    here = ROOT / "benchmarks"
    stored = here / "instructions.json"
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        result = measured(Path(folder))
    note = (
        "The daemon's frame path on JPEG pictures of 640×480, every frame searched, drawn and\n"
        "encoded; a picture is decoded where it is first looked at. Instructions are counted in\n"
        f"user mode under QEMU's emulation of a {PROCESSORS['x86-64']} and of a "
        f"{PROCESSORS['arm64']}; this is no Arm\nboard, and no time follows from it. "
        "Made by `make bench-instructions`."
    )
    text = f"{note}\n\n{table(result)}\n"
    print(text)
    if stored.is_file():
        print(changes(json.loads(stored.read_text()), result))
    (here / "instructions.md").write_text(text)
    stored.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
