"""Classifies files of kinds that users reported, and compares each result with the right one.

They lie in `cases/files` beside the data's folder (`MIEN_DATA`). The drawn scene in them has two
faces.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT, data_dir

pytestmark = pytest.mark.usefixtures("blazeface_dir")

Records = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def cases() -> Path:
    folder = data_dir().parent / "cases" / "files"
    if not folder.exists():
        pytest.skip(f"NOT TESTED: reported files; there is no folder {folder}")
    return folder


@pytest.fixture(scope="module")
def done(cases: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    yield subprocess.run(
        [sys.executable, "-m", "edge_daemon", "classify", cases, "--workers", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def records(done: subprocess.CompletedProcess[str]) -> Records:
    found: Records = defaultdict(list)
    for line in done.stdout.splitlines():
        record = json.loads(line)
        found[Path(record["file"]).name].append(record)
    return found


def test_nothing_is_silent(
    cases: Path, done: subprocess.CompletedProcess[str], records: Records
) -> None:
    assert set(records) == {path.name for path in cases.iterdir()}
    messages = [line for line in done.stderr.splitlines() if line.startswith("mien: ")]
    (message,) = messages
    assert "cut-in-half.mp4 is cut off or damaged: 6 frames" in message
    assert done.returncode == 1


@pytest.mark.parametrize(
    "name", ["photo.jfif", "photo.gif", "photo.tif", "photo.avif", "photo-without-suffix"]
)
def test_a_photo_is_one_record_of_a_picture(records: Records, name: str) -> None:
    (record,) = records[name]
    assert "frame" not in record
    assert len(record["faces"]) == 2
    assert all(face["label"] for face in record["faces"])


def test_a_video_of_one_frame_has_its_faces_with_labels(records: Records) -> None:
    (record,) = records["one-frame.mp4"]
    assert (record["frame"], record["time_s"]) == (0, 0.0)
    assert record["faces"]
    assert all(face["label"] for face in record["faces"])


def test_interlaced_video_has_its_faces(records: Records) -> None:
    frames = records["interlaced.mp4"]
    assert len(frames) == 36
    assert sum(len(each["faces"]) == 2 for each in frames) >= 34


def test_of_a_cut_video_the_rest_is_read(records: Records) -> None:
    assert [each["frame"] for each in records["cut-in-half.mp4"]] == list(range(6))


def test_frames_have_their_own_times(records: Records) -> None:
    times_s = [each["time_s"] for each in records["vfr.webm"]]
    assert times_s == sorted(times_s)
    assert times_s[-1] == pytest.approx(2.5, abs=0.05)
    times_s = [each["time_s"] for each in records["timelapse-0.5fps.mp4"]]
    assert times_s == pytest.approx([2.0 * number for number in range(13)])


def test_a_time_lapse_has_a_face_in_nearly_every_record(records: Records) -> None:
    frames = records["timelapse-0.5fps.mp4"]
    assert sum(bool(each["faces"]) for each in frames) >= 12


def test_a_panorama_has_its_faces(records: Records) -> None:
    (record,) = records["wide33000.png"]
    assert record["size"] == [33_000, 240]
    assert len(record["faces"]) == 2
    for face in record["faces"]:
        x, _, w, _ = face["box"]
        assert 1000 < x + w / 2 < 1320
        assert 60 < w < 140


def test_sixteen_bits_are_one_record(records: Records) -> None:
    (record,) = records["gray16-48.png"]
    assert record["size"] == [48, 48]
