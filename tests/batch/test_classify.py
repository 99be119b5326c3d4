"""Tests `mien classify` on real pictures and clips: records, tables, names and progress."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.classify import TIMEOUT_S, classify, records
from support.paths import ROOT

pytestmark = pytest.mark.usefixtures("blazeface_dir")


def test_every_picture_has_its_line(
    people_album: Path, classified: subprocess.CompletedProcess[str]
) -> None:
    found = records(classified.stdout)
    names = [str(Path(each["file"]).relative_to(people_album)) for each in found]
    assert names == ["clip.avi"] * 8 + ["first.jpg", "inner/second.png"]
    assert [each.get("frame") for each in found] == [*range(8), None, None]
    assert [each["time_s"] for each in found[:8]] == [n / 10 for n in range(8)]
    for each in found[8:]:
        assert each["size"] == [480, 270]
        assert len(each["faces"]) == 2
        for face in each["faces"]:
            assert face["label"] == max(face["scores"], key=face["scores"].get)
            assert face["score"] == face["scores"][face["label"]]
    assert {face["id"] for each in found[:8] for face in each["faces"]} == {1, 2}


def test_csv_has_a_row_for_each_face(people_album: Path) -> None:
    blank = people_album.parent / "blank.png"
    cv2.imwrite(str(blank), np.full((90, 120, 3), 127, np.uint8))
    done = classify(people_album / "first.jpg", blank, "--format", "csv", "--workers", "1")
    assert done.returncode == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["face"] for row in rows] == ["1", "2", ""]
    assert [row["width"] for row in rows] == ["480", "480", "120"]
    for row in rows[:2]:
        scores = [float(row[name]) for name in ("angry", "happy", "neutral")]
        assert float(row["score"]) >= max(scores)
        assert int(row["box_w"]) > 20
        assert 0.5 <= float(row["detection_score"]) <= 1


def test_a_terminal_sees_progress_and_a_summary(people_album: Path) -> None:
    primary, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    done = classify(people_album / "clip.avi", people_album / "broken.jpg", stderr=terminal)
    os.close(terminal)
    shown = ""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(primary, 100_000):
            shown += part.decode()
    os.close(primary)
    assert len(records(done.stdout)) == 8
    assert re.search(r"\d+%\|.*\| \d/9 \[", shown), shown
    faces = sum(len(each["faces"]) for each in records(done.stdout))
    assert re.search(rf"1 file, {faces} faces, 1 skipped, \d+\.\d s\r\n$", shown), shown


@pytest.mark.parametrize(("workers", "form"), [("1", "csv"), ("2", "jsonl")])
def test_a_name_that_is_not_utf8_is_printed_as_it_is(
    people_album: Path, tmp_path: Path, workers: str, form: str
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    name = os.fsencode(folder) + b"/\xe9t\xe9."
    for suffix, source in ((b"avi", "clip.avi"), (b"jpg", "first.jpg")):
        Path(os.fsdecode(name + suffix)).write_bytes((people_album / source).read_bytes())
    words = [str(folder), "--out", str(out), "--workers", workers, "--format", form]
    done = subprocess.run(
        [sys.executable, "-m", "edge_daemon", "classify", *words],
        cwd=ROOT,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    lines = done.stdout.splitlines()
    if form == "csv":
        assert lines[1].startswith(name + b"avi,")
        assert lines[-1].startswith(name + b"jpg,")
    else:
        files = [os.fsencode(json.loads(line)["file"]) for line in lines]
        assert files == [name + b"avi"] * 8 + [name + b"jpg"]
    copies = sorted(os.fsencode(path.name) for path in out.iterdir())
    assert copies == [b"\xe9t\xe9.jpg", b"\xe9t\xe9.mp4"]


def test_the_config_file_is_not_needed(people_album: Path) -> None:
    """From any folder, with the shipped model and the defaults."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_daemon", "classify", "first.jpg"],
        cwd=people_album,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""  # nor do libraries print anything
    assert len(records(done.stdout)[0]["faces"]) == 2
