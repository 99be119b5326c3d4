"""The comparison runs its contenders as processes on a real clip."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.compare import Contender, Tally, Way, figures, floor_ms, put_into_readme
from benchmarks.soak import Sample, spread_mb


def test_a_contender_does_the_frames_it_is_told(
    media_dir: Path, blazeface_dir: Path, tmp_path: Path
) -> None:
    way = Way("ours", "ours", Path(sys.executable), ("--interval", "1", "--faces", "4"))
    with (tmp_path / "log").open("w") as log:
        contender = Contender(way, log)
        reports = [contender.play(count) for count in (4, 2)]
        contender.close()
    assert [len(report["latency_ms"]) for report in reports] == [4, 2]
    row = figures(Tally([contender.start_s], reports))
    assert row["faces"] == 4 - 4 / 6, "all four, once they are confirmed in the third frame"
    assert 0 < row["p50_ms"] <= row["p95_ms"]
    assert row["cpu_ms"] > 0
    assert row["memory_mb"] > 30


def test_the_floor_counts_the_network_once_for_each_face(
    media_dir: Path, blazeface_dir: Path, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("w") as log:
        contender = Contender(Way("floor", "floor", Path(sys.executable)), log)
        tally = Tally([], [contender.play(24)])
        contender.close()
    none, two = floor_ms(tally, 0), floor_ms(tally, 2)
    assert none["classifier"] == 0 < two["classifier"]
    assert none["detector"] == two["detector"] > 0


def test_a_new_table_replaces_the_readmes_and_nothing_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    before, after = "# Mien\n\n| a |\n|---|\n\n", "\n\nEnd.\n"
    old, new = "| way |\n|---|\n| old |", "| way |\n|---|\n| new |\n| other |"
    readme.write_text(before + old + after)
    put_into_readme(new, readme)
    assert readme.read_text() == before + new + after


def test_a_contender_that_ends_is_named(media_dir: Path, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log, pytest.raises(RuntimeError, match="nobody ended"):
        Contender(Way("nobody", "nobody", Path(sys.executable)), log)


def test_memory_is_compared_within_so_many_frames() -> None:
    samples = [
        Sample(n, frames, mb, 9, 9)
        for n, (frames, mb) in enumerate([(0, 100.0), (50, 101.0), (100, 103.0), (200, 109.0)])
    ]
    assert spread_mb(samples, 100) == 3.0
    assert spread_mb(samples, 60) == 1.0
