"""Tests what `mien classify` cannot read or write: named, and the rest goes on."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.classify import TIMEOUT_S, classify, messages, records
from support.clips import read_clip, write_clip

from edge_daemon.batch.files import find_files

pytestmark = pytest.mark.usefixtures("blazeface_dir")


def test_the_unreadable_is_named_and_skipped(
    people_album: Path, classified: subprocess.CompletedProcess[str]
) -> None:
    picture, video, ignored = messages(classified)
    assert classified.returncode == 1
    assert f"{people_album}/broken.jpg: the picture is damaged" in picture
    assert picture.endswith(": skipped")
    assert f"{people_album}/broken.mp4 is not a video that can be decoded" in video
    assert ignored == "mien: not read: 1 .txt file"
    assert "\r" not in classified.stderr  # no bar without a terminal


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_file_ends_the_batch(people_album: Path, tmp_path: Path, workers: str) -> None:
    """A picture too wide for OpenCV's warps, one that claims gigapixels, a cut video, rubbish."""
    wide = np.zeros((240, 33_000, 3), np.uint8)
    wide[:, 1000:1480] = np.asarray(cv2.imread(str(people_album / "first.jpg")))[:240]
    cv2.imwrite(str(tmp_path / "a-wide.png"), wide)
    huge = struct.pack(">IIBBBBB", 65_500, 65_500, 8, 2, 0, 0, 0)
    (tmp_path / "b-huge.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + huge + bytes(40))
    clip = write_clip(tmp_path / "c-cut.mkv", read_clip(people_album / "clip.avi")[0] * 4)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    (tmp_path / "d-empty.jpg").touch()
    (tmp_path / "g\nh\x1b[31m.jpg").touch()  # a name that would write on a terminal
    (tmp_path / "e-rubbish.mp4").write_bytes(bytes(5000))
    (tmp_path / "f.jpg").write_bytes((people_album / "first.jpg").read_bytes())
    done = classify(tmp_path, "", "n" * 300, "--workers", workers)
    assert done.returncode == 1
    printed = {Path(each["file"]).name: each for each in records(done.stdout)}
    assert list(printed) == ["a-wide.png", "c-cut.mkv", "f.jpg"]
    assert printed["a-wide.png"]["size"] == [33_000, 240]
    assert len(printed["f.jpg"]["faces"]) == 2
    errors = "\n".join(messages(done))
    for reason in (
        "'': an empty name is not a file: skipped",
        f"{'n' * 300}: file name too long: skipped",
        "b-huge.png: the picture is 65500×65500 pixels; the limit is 256 megapixels: skipped",
        "c-cut.mkv is cut off or damaged",
        "could be read: the rest is skipped",
        "d-empty.jpg: the file is empty: skipped",
        "g\\nh\\x1b[31m.jpg: the file is empty: skipped",
        "e-rubbish.mp4 is not a video that can be decoded",
    ):
        assert reason in errors, reason
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("-", "standard input is not read; save the picture or video in a file"),
        ("http://127.0.0.1/a.jpg", "addresses are not read; download the file first"),
        ("nothing-*.jpg", "no file has a name like this"),
    ],
)
def test_a_name_that_is_no_file_has_its_reason(name: str, reason: str) -> None:
    (said,) = find_files([name]).unreadable
    assert said.reason == f"{name}: {reason}"


@pytest.mark.parametrize(
    "words", [["classify", "first.jpg"], ["check-config"], ["completion", "bash"]]
)
def test_output_that_cannot_be_written_is_said(people_album: Path, words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edge_daemon", *words],
            cwd=people_album,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "mien: standard output cannot be written: No space left on device\n"


def test_closed_standard_streams_are_no_error(people_album: Path) -> None:
    command = 'exec "$0" -m edge_daemon classify first.jpg nothing.jpg <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable], cwd=people_album, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--out", "README.md/copies", "README.md"], "--out README.md/copies: Not a directory"),
        (["--set", "model=README.md", "README.md"], "README.md: is not a TFLite model"),
    ],
)
def test_what_cannot_work_is_refused(words: list[str], expected: str) -> None:
    done = classify(*words)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert expected in said
