"""Tests counting instructions between marks, and the tables made from the counts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.paths import ROOT

from benchmarks.instructions import ALL_STAGES, MARK, SHOWN_STAGES, WARM_FRAMES, mean_counts

PROGRAM = """
#include <unistd.h>
static void work(volatile long turns) { while (turns--); }
int main(void) {
    fsync(MARK);
    work(1000000);
    fsync(MARK + 1);
    work(3000000);
    fsync(MARK + 2);
}
"""


@pytest.mark.skipif(
    not all(map(shutil.which, ("gcc", "qemu-x86_64"))), reason="gcc or qemu-user is not installed"
)
def test_a_loop_of_three_times_the_turns_has_three_times_the_instructions(tmp_path: Path) -> None:
    (tmp_path / "loop.c").write_text(PROGRAM)
    source = ROOT / "benchmarks" / "native" / "count_instructions.c"
    plugin, loop, marks = tmp_path / "count.so", tmp_path / "loop", tmp_path / "marks"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", plugin, source], check=True)
    subprocess.run(
        ["gcc", "-static", f"-DMARK={MARK}", "-o", loop, tmp_path / "loop.c"], check=True
    )
    subprocess.run(["qemu-x86_64", "-plugin", f"{plugin},to={marks}", loop], check=True)
    lines = [line.split() for line in marks.read_text().splitlines()]
    assert [stage for stage, _ in lines] == ["0", "1", "2"]
    once, three_times = int(lines[1][1]), int(lines[2][1])
    assert three_times == pytest.approx(3 * once, rel=0.01)


def test_the_first_frames_are_not_counted() -> None:
    warm = [(stage, 9_000_000) for stage in ALL_STAGES] * WARM_FRAMES
    frames = [
        (stage, number * 1_000_000) for number in (1, 3) for stage in ALL_STAGES if stage != "track"
    ]
    counts = mean_counts(warm + frames)
    assert counts == dict.fromkeys(SHOWN_STAGES, 2.0) | {"track": 0.0}
