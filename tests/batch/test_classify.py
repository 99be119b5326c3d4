"""`python -m edge_daemon classify` on real pictures and clips, by one process, several, and Ray."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.paths import ROOT

from edge_daemon.batch.command import ClassifyError, find, refuse_overwriting
from edge_daemon.batch.progress import line
from edge_daemon.batch.reader import Job, Unreadable
from edge_daemon.core.types import ImageBgr

pytestmark = pytest.mark.usefixtures("blazeface_dir")

TIMEOUT_S = 200  # starting a Ray cluster takes long where others are at work


def classify(*words: str | Path, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_daemon", "classify", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def records(output: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in output.splitlines()]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, media_dir: Path) -> Path:
    """Pictures in a folder and one within it, a short clip, and two files that are broken."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "inner").mkdir()
    capture = cv2.VideoCapture(str(media_dir / "two-people-tilting.mp4"))
    frames = [np.asarray(capture.read()[1], np.uint8) for _ in range(8)]
    capture.release()
    cv2.imwrite(str(folder / "first.jpg"), frames[0])
    cv2.imwrite(str(folder / "inner" / "second.png"), frames[7])
    height, width = frames[0].shape[:2]
    code = cv2.VideoWriter.fourcc(*"MJPG")
    clip = cv2.VideoWriter(str(folder / "clip.avi"), code, 10, (width, height))
    for frame in frames:
        clip.write(frame)
    clip.release()
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than a beginning")
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("neither picture nor video")
    return folder


@pytest.fixture(scope="module")
def plain(album: Path) -> subprocess.CompletedProcess[str]:
    """What one process says of the album."""
    return classify(album, "--workers", "1")


def test_every_picture_has_its_line(album: Path, plain: subprocess.CompletedProcess[str]) -> None:
    found = records(plain.stdout)
    names = [str(Path(each["file"]).relative_to(album)) for each in found]
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


def test_the_unreadable_is_named_and_skipped(plain: subprocess.CompletedProcess[str]) -> None:
    said = [each for each in plain.stderr.splitlines() if each.startswith("edge_daemon: ")]
    assert plain.returncode == 1
    assert len(said) == 2
    assert "broken.jpg is not an image that OpenCV can read: skipped" in said[0]
    assert "broken.mp4 is not a video that can be decoded" in said[1]
    assert "\r" not in plain.stderr  # no bar where no terminal is


def test_several_processes_say_the_same(
    album: Path, plain: subprocess.CompletedProcess[str]
) -> None:
    done = classify(album, "--workers", "2")
    assert done.stdout == plain.stdout
    assert done.returncode == 1
    assert "leaked" not in done.stderr


@pytest.mark.long
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="NOT TESTED: classify --ray; Ray is not installed (make test-ray installs it)",
)
def test_a_ray_cluster_says_the_same(
    album: Path, plain: subprocess.CompletedProcess[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "100")  # a busy machine needs longer
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "100000")
    done = classify(album, "--ray", "local")
    assert done.stdout == plain.stdout, done.stderr
    assert done.returncode == 1
    assert sum("skipped" in each for each in done.stderr.splitlines()) == 2


def test_without_ray_it_says_what_to_install(album: Path) -> None:
    without = "import sys; sys.modules['ray'] = None; from edge_daemon.__main__ import main; "
    done = subprocess.run(
        [sys.executable, "-c", without + f"main(['classify', '--ray', 'auto', {str(album)!r}])"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "edge_daemon: --ray needs Ray: pip install '.[ray]'" in done.stderr
    assert not done.stdout


def test_csv_has_a_row_for_each_face(album: Path) -> None:
    blank = album.parent / "blank.png"
    cv2.imwrite(str(blank), np.full((90, 120, 3), 127, np.uint8))
    done = classify(album / "first.jpg", blank, "--format", "csv", "--workers", "1")
    assert done.returncode == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["face"] for row in rows] == ["1", "2", ""]
    assert [row["width"] for row in rows] == ["480", "480", "120"]
    for row in rows[:2]:
        scores = [float(row[name]) for name in ("angry", "happy", "neutral")]
        assert float(row["score"]) >= max(scores)
        assert int(row["box_w"]) > 20


def test_annotated_copies_are_written(album: Path, tmp_path: Path) -> None:
    done = classify(album, "--out", tmp_path / "copies", "--workers", "1")
    copies = sorted(p for p in (tmp_path / "copies").rglob("*") if p.is_file())
    names = [str(p.relative_to(tmp_path / "copies")) for p in copies]
    assert names == ["clip.mp4", "first.jpg", "inner/second.png"], done.stderr
    before = np.asarray(cv2.imread(str(album / "inner" / "second.png")), np.int16)
    after = np.asarray(cv2.imread(str(copies[2])), np.int16)
    assert before.shape == after.shape
    assert np.abs(before - after).max() > 50  # boxes and bars
    video = cv2.VideoCapture(str(copies[0]))
    assert video.get(cv2.CAP_PROP_FPS) == 10
    assert sum(1 for _ in iter(lambda: video.read()[0], False)) == 8
    video.release()


def shared_detail(a: ImageBgr, b: ImageBgr, box: list[int]) -> float:
    """How much of what is to be seen in the middle of `box` is the same, 1 for all."""
    x, y, w, h = box
    middle = np.s_[y + h // 4 : y + 3 * h // 4, x + w // 4 : x + 3 * w // 4]
    fine = [cv2.Laplacian(bgr[middle], cv2.CV_64F).ravel() for bgr in (a, b)]
    return float(np.asarray(np.corrcoef(fine))[0, 1])


def pictures_of(path: Path) -> list[ImageBgr]:
    video = cv2.VideoCapture(str(path))
    frames = [np.asarray(frame, np.uint8) for _, frame in iter(video.read, (False, None))]
    video.release()
    return frames


def test_copies_are_blurred_as_the_stream_is(album: Path, tmp_path: Path) -> None:
    hide = ["--set", "privacy.blur_faces=true"]
    files = [album / "clip.avi", album / "first.jpg"]
    done = classify(*files, "--workers", "1", "--out", tmp_path, *hide)
    boxes = [face["box"] for face in records(done.stdout)[-1]["faces"]]
    assert len(boxes) == 2, done.stderr
    for name, copy in (("clip.avi", "clip.mp4"), ("first.jpg", "first.jpg")):
        clear, coarse = pictures_of(album / name), pictures_of(tmp_path / copy)
        for before, after in zip(clear, coarse, strict=True):  # all, though each waited for later
            assert all(shared_detail(before, after, box) < 0.4 for box in boxes)


def test_a_terminal_sees_how_far_it_is(album: Path) -> None:
    primary, terminal = pty.openpty()
    done = classify(album / "clip.avi", stderr=terminal)
    os.close(terminal)
    shown = os.read(primary, 100_000).decode()
    os.close(primary)
    assert len(records(done.stdout)) == 8
    assert re.search(r"\[#*-*\] +\d+ %  \d/8  \d+\.\d/s  0:00:\d\d left", shown), shown
    assert shown.endswith("\r\x1b[K")


def test_the_line_of_progress() -> None:
    assert line(25, 100, 0.5) == "[######------------------]  25 %  25/100  50.0/s  0:00:02 left"
    assert line(0, 10, 0.0).endswith("? left")
    assert "1:01:01 left" in line(1, 3662, 1.0)
    assert "100 %" in line(12, 10, 1.0)  # a video held more than its header said


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert list(find([tmp_path / "nowhere.jpg"])) == [
        Unreadable(f"{tmp_path / 'nowhere.jpg'} does not exist")
    ]
    (found,) = find([tmp_path])
    assert found == Unreadable(f"the folder {tmp_path} has no picture and no video in it")


def test_copies_never_take_anything_elses_place(tmp_path: Path) -> None:
    for name in ("a/x.jpg", "b/x.jpg", "a/out/x.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    out = tmp_path / "a" / "out"
    jobs = [job for job in find([tmp_path / "a", tmp_path / "b"], out) if isinstance(job, Job)]
    assert [job.copy for job in jobs] == [out / "x.jpg", out / "x-2.jpg"]
    refuse_overwriting(jobs)
    same = [job for job in find([tmp_path / "a"], tmp_path / "a") if isinstance(job, Job)]
    with pytest.raises(ClassifyError, match="would overwrite"):
        refuse_overwriting(same)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The process ids of the readers it has started so far."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [pid for pid, line in lines.items() if b"spawn_main" in line]


@pytest.mark.parametrize("killed", ["worker", "all"])
def test_an_early_end_leaves_nothing_behind(killed: str, tmp_path: Path) -> None:
    pipes = [tmp_path / "a.jpg", tmp_path / "b.jpg"]  # whoever reads them waits
    for pipe in pipes:
        os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_daemon", "classify", *map(str, pipes), "--workers", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + TIMEOUT_S
    while len(workers := workers_of(process)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if killed == "worker":
        os.kill(workers[0], signal.SIGKILL)
    else:
        process.terminate()
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == (1 if killed == "worker" else 130), said
    assert ("a worker ended before its work did" in said) == (killed == "worker")
    assert "Traceback" not in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_a_name_that_is_no_text_comes_out_as_it_is(album: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xe9t\xe9.jpg"
    Path(os.fsdecode(name)).write_bytes((album / "first.jpg").read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "edge_daemon", "classify", tmp_path, "--format", "csv"],
        cwd=ROOT,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert done.stdout.splitlines()[1].startswith(name + b",")


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
