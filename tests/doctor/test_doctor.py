"""Tests the doctor's report as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.doctor import CONFIG, doctor, only
from support.paths import ROOT

from edge_daemon.commands import main


class TestWholeReport:
    def test_a_well_device_has_every_check(
        self, capsys: pytest.CaptureFixture[str], blazeface_dir: Path, tmp_path: Path
    ) -> None:
        log = f"events.path={tmp_path / 'events.jsonl'}"
        found = doctor(capsys, "camera.source=demo", "web.port=0", log)
        well = ["python", "packages", "model", "goldens", "detector", "picture", "port", "disk"]
        for check in well:
            assert only(found, check)[0] == "ok", found[check]
        assert set(found) == {*well, "user", "camera", "clock", "temperature", "throttling"}
        assert "finds 2 faces in the demo's picture" in only(found, "detector")[1]
        assert only(found, "picture")[1] == "demo delivers 640×480"
        assert not list(tmp_path.iterdir()), "it writes nothing"

    def test_text_has_a_line_for_each_finding_and_its_fix(self, tmp_path: Path) -> None:
        missing = tmp_path / "gone.mp4"
        settings = ["--set", f"camera.source={missing}", "--set", "web.port=0"]
        done = subprocess.run(
            [sys.executable, "-m", "edge_daemon", "doctor", "--config", CONFIG, *settings],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        lines = done.stdout.splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith("error    picture:"))
        assert f"{missing} does not exist" in lines[at]
        assert lines[at + 1].strip() == f"fix: nano {CONFIG}  # camera.source: auto"
        assert "Traceback" not in done.stderr

    def test_a_bad_configuration_is_one_sentence(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = tmp_path / "bad.yaml"
        config.write_text("camera:\n  sauce: demo\n")
        assert main(["doctor", "--json", "--config", str(config)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"mien: {config}, line 2: unknown key 'camera.sauce'")
        assert said.err.count("\n") == 1
