"""`python -m edge_daemon classify` on real pictures and clips: in one process, several, and Ray."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.clips import read_clip, write_clip
from support.paths import ROOT
from support.waiting import until

from edge_daemon.batch.files import find_files
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
    frames = read_clip(media_dir / "two-people-tilting.mp4")[0][:8]
    cv2.imwrite(str(folder / "first.jpg"), frames[0])
    cv2.imwrite(str(folder / "inner" / "second.png"), frames[7])
    write_clip(folder / "clip.avi", frames, codec="mjpeg", pixel_format="yuvj420p")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than a beginning")
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("neither picture nor video")
    return folder


@pytest.fixture(scope="module")
def plain(album: Path) -> subprocess.CompletedProcess[str]:
    """Return the result of one process."""
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


def messages(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [each for each in done.stderr.splitlines() if each.startswith("mien: ")]


def test_the_unreadable_is_named_and_skipped(
    album: Path, plain: subprocess.CompletedProcess[str]
) -> None:
    picture, video, ignored = messages(plain)
    assert plain.returncode == 1
    assert f"{album}/broken.jpg: the picture is damaged" in picture
    assert picture.endswith(": skipped")
    assert f"{album}/broken.mp4 is not a video that can be decoded" in video
    assert ignored == "mien: not read: 1 .txt file"
    assert "\r" not in plain.stderr  # no bar without a terminal


def test_several_processes_print_the_same(
    album: Path, plain: subprocess.CompletedProcess[str]
) -> None:
    done = classify(album, "--workers", "2")
    assert done.stdout == plain.stdout
    assert done.returncode == 1
    assert "leaked" not in done.stderr


needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="NOT TESTED: classify --ray; Ray is not installed (make test-ray installs it)",
)


@pytest.fixture
def patient_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine needs longer to start a cluster."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "100")
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "100000")


@pytest.mark.long
@needs_ray
@pytest.mark.usefixtures("patient_ray")
def test_a_ray_cluster_prints_the_same(
    album: Path, plain: subprocess.CompletedProcess[str]
) -> None:
    done = classify(album, "--ray", "local")
    assert done.stdout == plain.stdout, done.stderr
    assert done.returncode == 1
    assert sum("skipped" in each for each in done.stderr.splitlines()) == 2


def test_without_ray_the_message_names_what_to_install(album: Path) -> None:
    without = "import sys; sys.modules['ray'] = None; from edge_daemon.commands import main; "
    done = subprocess.run(
        [sys.executable, "-c", without + f"main(['classify', '--ray', 'auto', {str(album)!r}])"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "mien: --ray needs Ray: pip install '.[ray]'" in done.stderr
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
        assert 0.5 <= float(row["detection_score"]) <= 1


def test_annotated_copies_are_written(album: Path, tmp_path: Path) -> None:
    done = classify(album, "--out", tmp_path / "copies", "--workers", "1")
    copies = sorted(p for p in (tmp_path / "copies").rglob("*") if p.is_file())
    names = [str(p.relative_to(tmp_path / "copies")) for p in copies]
    assert names == ["clip.mp4", "first.jpg", "inner/second.png"], done.stderr
    before = np.asarray(cv2.imread(str(album / "inner" / "second.png")), np.int16)
    after = np.asarray(cv2.imread(str(copies[2])), np.int16)
    assert before.shape == after.shape
    assert np.abs(before - after).max() > 50  # boxes and bars
    assert read_clip(copies[0])[1] == pytest.approx([n / 10 for n in range(8)])


def shared_detail(a: ImageBgr, b: ImageBgr, box: list[int]) -> float:
    """Return the correlation of the middles of `box` in both pictures; 1 if they are equal."""
    x, y, w, h = box
    middle = np.s_[y + h // 4 : y + 3 * h // 4, x + w // 4 : x + 3 * w // 4]
    fine = [cv2.Laplacian(bgr[middle], cv2.CV_64F).ravel() for bgr in (a, b)]
    return float(np.asarray(np.corrcoef(fine))[0, 1])


def test_copies_are_blurred_as_the_stream_is(album: Path, tmp_path: Path) -> None:
    hide = ["--set", "privacy.blur_faces=true"]
    files = [album / "clip.avi", album / "first.jpg"]
    done = classify(*files, "--workers", "1", "--out", tmp_path, *hide)
    boxes = [face["box"] for face in records(done.stdout)[-1]["faces"]]
    assert len(boxes) == 2, done.stderr
    for name, copy in (("clip.avi", "clip.mp4"), ("first.jpg", "first.jpg")):
        clear, coarse = read_clip(album / name)[0], read_clip(tmp_path / copy)[0]
        for before, after in zip(clear, coarse, strict=True):  # all, though each waited for later
            assert all(shared_detail(before, after, box) < 0.5 for box in boxes)


def test_every_face_that_is_found_is_blurred(album: Path, tmp_path: Path) -> None:
    """Small ones too, which only a thorough search finds."""
    scene = np.full((1080, 1920, 3), 120, np.uint8)
    people = np.asarray(cv2.imread(str(album / "first.jpg")), np.uint8)
    scene[700:970, 1300:1780] = people
    cv2.imwrite(str(tmp_path / "scene.png"), scene)
    hide = ["--set", "privacy.blur_faces=true"]
    done = classify(tmp_path / "scene.png", "--out", tmp_path / "out", *hide)
    (record,) = records(done.stdout)
    assert len(record["faces"]) == 2, done.stderr
    copy = np.asarray(cv2.imread(str(tmp_path / "out" / "scene.png")), np.uint8)
    assert all(shared_detail(scene, copy, face["box"]) < 0.4 for face in record["faces"])


def test_a_terminal_sees_progress_and_a_summary(album: Path) -> None:
    primary, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    done = classify(album / "clip.avi", album / "broken.jpg", stderr=terminal)
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


def worker_ids(process: subprocess.Popen[str]) -> list[int]:
    """Return the ids of the processes that read files for `process`."""
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    children = [pid for each in threads for pid in (each / "children").read_text().split()]
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [pid for pid, line in lines.items() if b"spawn_main" in line]


@pytest.fixture
def endless(album: Path, tmp_path: Path) -> Path:
    """Return a folder of two videos that take long to read, and two pictures after them."""
    folder = tmp_path / "endless"
    folder.mkdir()
    pictures = read_clip(album / "clip.avi")[0] * 4
    clip = write_clip(tmp_path / "clip.ts", pictures, fps=25, codec="mpeg2video")
    for name in ("a.ts", "b.ts"):
        (folder / name).write_bytes(clip.read_bytes() * 200)
    for name in ("c.jpg", "d.jpg"):
        (folder / name).write_bytes((album / "first.jpg").read_bytes())
    return folder


@pytest.fixture
def reading(endless: Path) -> Iterator[subprocess.Popen[str]]:
    """`classify` with two workers, which are at work on the videos."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_daemon", "classify", endless, "--workers", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: len(worker_ids(process)) == 2, timeout_s=TIMEOUT_S)
    yield process
    process.kill()
    process.communicate()


def test_a_lost_worker_is_replaced(reading: subprocess.Popen[str], endless: Path) -> None:
    """Whatever kills a worker (the kernel, for lack of memory) ends one file, not the batch."""
    for worker in worker_ids(reading):
        os.kill(worker, signal.SIGKILL)
    printed, errors = reading.communicate(timeout=TIMEOUT_S)
    assert [Path(each["file"]).name for each in records(printed)] == ["c.jpg", "d.jpg"]
    assert all(len(each["faces"]) == 2 for each in records(printed))
    lost = [line for line in errors.splitlines() if "skipped" in line]
    for name, line in zip(("a.ts", "b.ts"), lost, strict=True):
        assert f"{endless / name}: the process that was reading it ended early (SIGKILL)" in line
    assert reading.returncode == 1
    assert "Traceback" not in errors


def ray_readers_of(path: Path) -> list[int]:
    """Return the workers of Ray that have a file open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(b"ray::"):
                files = (process / "fd").iterdir()
                found += [int(process.name) for each in files if each.readlink() == path]
    return found


@pytest.mark.long
@needs_ray
@pytest.mark.timeout(3 * TIMEOUT_S)
@pytest.mark.usefixtures("patient_ray")
def test_a_lost_worker_of_ray_is_replaced(endless: Path) -> None:
    """Ray reads the file again elsewhere; a file that ends every worker is named at last."""
    (endless / "b.ts").unlink()
    with subprocess.Popen(
        [sys.executable, "-m", "edge_daemon", "classify", endless, "--ray", "local"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        killed: set[int] = set()
        try:
            while process.poll() is None:
                for worker in ray_readers_of(endless / "a.ts"):
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
                        killed.add(worker)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
        finally:
            process.kill()
        printed, errors = process.communicate(timeout=TIMEOUT_S)
    assert [Path(each["file"]).name for each in records(printed)] == ["c.jpg", "d.jpg"], errors
    assert all(len(each["faces"]) == 2 for each in records(printed))
    assert f"{endless / 'a.ts'}: the worker that was reading it was lost" in errors
    assert len(killed) > 1
    assert process.returncode == 1
    assert "Traceback" not in errors


def test_an_early_end_leaves_nothing_behind(reading: subprocess.Popen[str]) -> None:
    workers = worker_ids(reading)
    reading.terminate()
    _, errors = reading.communicate(timeout=TIMEOUT_S)
    assert reading.returncode == 130, errors
    assert "Traceback" not in errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.parametrize(("workers", "form"), [("1", "csv"), ("2", "jsonl")])
def test_a_name_that_is_not_utf8_is_printed_as_it_is(
    album: Path, tmp_path: Path, workers: str, form: str
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    name = os.fsencode(folder) + b"/\xe9t\xe9."
    for suffix, source in ((b"avi", "clip.avi"), (b"jpg", "first.jpg")):
        Path(os.fsdecode(name + suffix)).write_bytes((album / source).read_bytes())
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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_file_ends_the_batch(album: Path, tmp_path: Path, workers: str) -> None:
    """A picture too wide for OpenCV's warps, one that claims gigapixels, a cut video, rubbish."""
    wide = np.zeros((240, 33_000, 3), np.uint8)
    wide[:, 1000:1480] = np.asarray(cv2.imread(str(album / "first.jpg")))[:240]
    cv2.imwrite(str(tmp_path / "a-wide.png"), wide)
    huge = struct.pack(">IIBBBBB", 65_500, 65_500, 8, 2, 0, 0, 0)
    (tmp_path / "b-huge.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + huge + bytes(40))
    clip = write_clip(tmp_path / "c-cut.mkv", read_clip(album / "clip.avi")[0] * 4)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    (tmp_path / "d-empty.jpg").touch()
    (tmp_path / "g\nh\x1b[31m.jpg").touch()  # a name that would write on a terminal
    (tmp_path / "e-rubbish.mp4").write_bytes(bytes(5000))
    (tmp_path / "f.jpg").write_bytes((album / "first.jpg").read_bytes())
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


def test_a_full_disk_costs_the_copies_and_not_the_records(album: Path, tmp_path: Path) -> None:
    """The copies' folder has room for the picture, and for nothing of the video."""
    room = tmp_path / "full"
    room.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(room)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("NOT TESTED: this account cannot mount a small disk")
    try:
        (room / "other").write_bytes(bytes(60_000))
        done = classify(album / "clip.avi", album / "first.jpg", "--workers", "1", "--out", room)
        left = [path.name for path in room.iterdir()]
    finally:
        subprocess.run(["umount", room], check=True)
    assert done.returncode == 1
    assert len(records(done.stdout)) == 9
    assert messages(done) == [
        f"mien: the copy {room / name} cannot be written: No space left on device: skipped"
        for name in ("clip.mp4", "first.jpg")
    ]
    assert left == ["other"]


@pytest.mark.parametrize(
    "words", [["classify", "first.jpg"], ["check-config"], ["completion", "bash"]]
)
def test_output_that_cannot_be_written_is_said(album: Path, words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edge_daemon", *words],
            cwd=album,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "mien: standard output cannot be written: No space left on device\n"


def test_closed_standard_streams_are_no_error(album: Path) -> None:
    command = 'exec "$0" -m edge_daemon classify first.jpg nothing.jpg <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable], cwd=album, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 1


def test_a_picture_of_black_and_white_dots_has_its_faces(album: Path, tmp_path: Path) -> None:
    """As of a fax or a newspaper, dithered; the copy shows the dots."""
    from PIL import Image

    dots = tmp_path / "dots.png"
    Image.open(album / "first.jpg").convert("1").save(dots)
    done = classify(dots, "--out", tmp_path / "copies")
    (record,) = records(done.stdout)
    assert len(record["faces"]) == 2
    before, after = cv2.imread(str(dots)), cv2.imread(str(tmp_path / "copies" / "dots.png"))
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before[:20, :20], after[:20, :20])


def test_the_config_file_is_not_needed(album: Path) -> None:
    """From any folder, with the shipped model and the defaults."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_daemon", "classify", "first.jpg"],
        cwd=album,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""  # nor do libraries print anything
    assert len(records(done.stdout)[0]["faces"]) == 2


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
