"""Tests the doctor's checks of disk, clock and board."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.board import pi
from support.doctor import CONFIG

from edge_daemon.doctor.machine import (
    clock_state,
    examine_board,
    examine_clock,
    examine_log,
    examine_snapshots,
)
from edge_daemon.status.board import Board


class TestMachine:
    def test_less_room_than_the_log_may_take(self, tmp_path: Path) -> None:
        (tmp_path / "events.jsonl").write_bytes(b"\n" * 1000)
        path = tmp_path / "events.jsonl"
        finding = examine_log(path, keep_bytes=1e18, config_file=CONFIG)
        assert finding.verdict == "warning"
        assert "events.keep_mb lets it grow" in finding.sentence
        assert f"nano {CONFIG}  # events.keep_mb: " in finding.remedy
        keep_mb = float(finding.remedy.rpartition(" ")[2])
        mended = examine_log(path, keep_bytes=keep_mb * 1e6, config_file=CONFIG)
        assert mended.verdict == "ok"

    def test_a_full_and_a_read_only_disk(self, small_disk: Path) -> None:
        full = examine_log(small_disk / "events.jsonl", keep_bytes=1e8, config_file=CONFIG)
        assert (full.verdict, full.check) == ("error", "disk")
        assert "too little" in full.sentence
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        shut = examine_snapshots(small_disk / "new", keep_bytes=1.0, config_file=CONFIG)
        assert shut.verdict == "error"
        assert shut.remedy == f"sudo mount -o remount,rw {small_disk}"

    def test_the_clock(self) -> None:
        assert clock_state() in range(-1, 6)
        found = [examine_clock(state).verdict for state in (5, 0, -1)]
        assert found == ["warning", "ok", "ok"]

    @pytest.mark.parametrize(
        ("bits", "verdict", "said"),
        [
            ("0", "ok", "none since boot"),
            ("50005", "warning", "(now): under voltage, throttled"),
            ("80000", "warning", "(earlier since boot, not now): soft temperature limit"),
        ],
    )
    def test_a_pi_that_holds_back(self, bits: str, verdict: str, said: str, tmp_path: Path) -> None:
        heat, throttling = examine_board(Board(pi(tmp_path, f"{bits}\n")).status)
        assert (heat.verdict, heat.sentence) == ("ok", "61.8 °C (thermal_zone0 cpu-thermal)")
        assert throttling.verdict == verdict
        assert said in throttling.sentence

    def test_a_hot_board(self, tmp_path: Path) -> None:
        board = Board(pi(tmp_path, "0\n"))
        (tmp_path / "class/thermal/thermal_zone0/temp").write_text("83200\n")
        heat, _ = examine_board(board.read())
        assert heat.verdict == "warning"
        assert heat.sentence.startswith("83.2 °C")
