"""Tests which files of a folder are read, and what is reported about the others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import wave
from collections import Counter
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from support.clips import write_clip
from support.paths import ROOT

from edge_daemon.batch.files import (
    HEAD_BYTES,
    ClassifyError,
    Job,
    Unreadable,
    find_files,
    kind_of,
)
from edge_daemon.batch.output import ignored_sentence

GRAY = np.full((48, 64, 3), 127, np.uint8)


def kind_of_file(path: Path) -> str | None:
    return kind_of(path.read_bytes()[:HEAD_BYTES], path.suffix)


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "MPO"]
)
@pytest.mark.parametrize("suffix", [".jpg", "", ".mp4", ".JFIF", ".txt", ".jpg_large"])
def test_a_picture_is_one_whatever_its_name(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(GRAY).save(path, kind)
    assert kind_of_file(path) == "picture"


@pytest.mark.parametrize(
    ("container_format", "codec"),
    [
        ("mp4", "libx264"), ("mov", "libx264"), ("3gp", "libx264"), ("matroska", "libx264"),
        ("webm", "libvpx"), ("avi", "mpeg4"), ("flv", "libx264"), ("asf", "mpeg4"),
        ("mpegts", "mpeg2video"), ("vob", "mpeg2video"), ("mpeg2video", "mpeg2video"),
        ("h264", "libx264"), ("hevc", "libx265"), ("ogg", "libvpx"), ("mxf", "mpeg2video"),
        ("ivf", "libvpx"), ("nut", "mpeg4"),
    ],
)  # fmt: skip
def test_a_video_is_one_whatever_its_name(
    tmp_path: Path, container_format: str, codec: str
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"NOT TESTED: this PyAV encodes no {codec}")
    clip = write_clip(
        tmp_path / "clip", [GRAY] * 12, codec=codec, fps=25, container_format=container_format
    )
    for name in ("clip.jpg", "clip", "clip.doc"):
        assert kind_of(clip.read_bytes()[:HEAD_BYTES], Path(name).suffix) == "video", name


def test_m2ts_is_a_video(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "clip.ts", [GRAY] * 12, codec="mpeg2video", fps=25, container_format="mpegts"
    )
    packets = clip.read_bytes()
    content = b"".join(bytes(4) + packets[at : at + 188] for at in range(0, len(packets), 188))
    assert kind_of(content[:HEAD_BYTES], ".mts") == "video"
    assert kind_of(content[:HEAD_BYTES], "") == "video"


def test_a_transport_stream_may_begin_within_a_packet(tmp_path: Path) -> None:
    pictures = [np.random.default_rng(n).integers(0, 255, GRAY.shape, np.uint8) for n in range(12)]
    clip = write_clip(
        tmp_path / "clip.ts", pictures, codec="mpeg2video", fps=25, container_format="mpegts"
    )
    assert kind_of(clip.read_bytes()[100 : 100 + HEAD_BYTES], ".ts") == "video"


def test_a_raw_mjpeg_video_is_told_by_its_name() -> None:
    jpeg = cv2.imencode(".jpg", GRAY)[1].tobytes()
    assert kind_of(jpeg, ".mjpeg") == "video"
    assert kind_of(jpeg, ".jpeg") == "picture"


def test_what_is_neither_is_neither(tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    assert kind_of_file(sound) is None
    for codec, container_format, suffix in (
        ("aac", "ipod", ".m4a"), ("flac", "ogg", ".ogg"), ("aac", "matroska", ".mka"),
    ):  # fmt: skip
        path = tmp_path / f"sound{suffix}"
        with av.open(path, "w", format=container_format) as container:
            stream = container.add_stream(codec, rate=48_000)
            assert isinstance(stream, av.AudioStream)
            sample_format = "s16" if codec == "flac" else "fltp"
            silence = av.AudioFrame(format=sample_format, layout="stereo", samples=1024)
            for plane in silence.planes:
                plane.update(bytes(plane.buffer_size))
            silence.sample_rate = 48_000
            container.mux(stream.encode(silence))
            container.mux(stream.encode(None))
        assert kind_of_file(path) is None, suffix
    for content, suffix in (
        (b"", ""),
        (b"export const x = 1;\n" * 300, ".ts"),
        (b"%PDF-1.7", ".pdf"),
        (b"BMW and P6 are words", ".txt"),
        (b"GIF, said the author", ".txt"),
        (b"G" * 4096, ".txt"),
        (b"\x7fELF" + bytes(100), ""),
    ):
        assert kind_of(content, suffix) is None, content[:20]


def test_what_claims_to_be_one_is_tried() -> None:
    assert kind_of(b"rubbish", ".jpg") == "picture"
    assert kind_of(b"rubbish", ".mp4") == "video"
    assert kind_of(b"", ".heic") == "picture"


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Return a folder as people have it, with what systems leave in it."""
    folder = tmp_path / "album"
    for name in ("a.jpg", "in/b.png", "in/deep/c", ".cache/d.jpg", "__MACOSX/e.jpg", ".f.jpg",
                 "._a.jpg", "in/._b.png"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(cv2.imencode(".png", GRAY)[1].tobytes())
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "more.TXT", "a.json", "LICENSE"):
        (folder / name).write_bytes(b"text")
    (folder / "link").symlink_to(folder / "in")
    (folder / "broken.jpg").symlink_to(folder / "nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return folder


def test_a_folder_is_read_with_those_within_it(album: Path) -> None:
    search = find_files([str(album)])
    names = [str(Path(job.name).relative_to(album)) for job in search.jobs]
    assert names == ["a.jpg", "in/b.png", "in/deep/c"]
    assert not search.unreadable
    assert search.ignored == Counter(
        {
            ".txt files": 2, ".json files": 1, "other files": 1, "hidden files": 1,
            "hidden folders": 1, "links to folders": 1, "broken links": 1, "special files": 1,
        }
    )  # fmt: skip


def test_what_is_named_is_read_though_it_is_hidden(album: Path) -> None:
    search = find_files([str(album / ".cache"), str(album / ".f.jpg"), str(album / "link")])
    assert [Path(job.name).name for job in search.jobs] == ["d.jpg", ".f.jpg", "b.png", "c"]


def test_the_ignored_are_counted_in_a_sentence() -> None:
    assert ignored_sentence(Counter()) == ""
    assert ignored_sentence(Counter({"links to folders": 0})) == ""
    some = Counter({".txt files": 2, "hidden folders": 1, "links to folders": 1})
    assert ignored_sentence(some) == "not read: 2 .txt files, 1 hidden folder, 1 link to a folder"
    many = Counter({f".{letter} files": 1 for letter in "abcdefghi"})
    assert ignored_sentence(many).endswith("1 .f file, 3 others")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "'': an empty name is not a file"),
        ("nowhere.jpg", "nowhere.jpg: no such file or directory"),
        ("n" * 300 + ".jpg", f"{'n' * 300}.jpg: file name too long"),
        ("/dev/null", "/dev/null: this is a device or a pipe, not a file"),
        ("README.md", "README.md is neither a picture nor a video that can be read"),
        ("README.md/x.jpg", "README.md/x.jpg: not a directory"),
    ],
)
def test_what_cannot_be_read_is_named(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    search = find_files([name])
    assert (search.unreadable, search.jobs) == ([Unreadable(reason)], [])


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    search = find_files([str(tmp_path)])
    assert search.unreadable == [
        Unreadable(f"the folder {tmp_path} contains neither a picture nor a video")
    ]
    assert search.ignored == Counter({".txt files": 1})


def test_locked_files_and_folders_are_named(album: Path) -> None:
    """Run as a user who may not read them; root may read everything."""
    for locked in (album / "in" / "deep", album / "in" / "b.png"):
        locked.chmod(0)
    program = (
        "import sys; from edge_daemon.batch.files import find_files\n"
        "search = find_files(sys.argv[1:])\n"
        "print(*[job.name for job in search.jobs], sep='\\n')\n"
        "print(*[each.reason for each in search.unreadable], sep='\\n')"
    )
    command = [sys.executable, "-c", program, str(album)]
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("NOT TESTED: giving up root takes setpriv")
        command = [setpriv, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (album / "in" / "deep").chmod(0o755)
    assert done.stdout.splitlines() == [
        str(album / "a.jpg"),
        f"the folder {album / 'in' / 'deep'}: permission denied",
        f"{album / 'in' / 'b.png'}: permission denied",
    ]


def jobs_of(*paths: Path, out: Path) -> list[Job]:
    return find_files([str(path) for path in paths], out).jobs


def test_copies_never_take_anothers_place(tmp_path: Path) -> None:
    for name in ("a/x.png", "b/x.png", "a/out/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), GRAY)
    out = tmp_path / "a" / "out"
    jobs = jobs_of(tmp_path / "a", tmp_path / "b", out=out)
    assert [job.copy for job in jobs] == [out / "x.png", out / "x-2.png"]
    with pytest.raises(ClassifyError, match="would overwrite"):
        jobs_of(tmp_path / "a", out=tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "kind", "copy"),
    [
        ("x.jpg", "JPEG", "x.jpg"),
        ("x.JFIF", "JPEG", "x.JFIF"),
        ("x.png", "JPEG", "x.jpg"),
        ("x", "JPEG", "x.jpg"),
        ("v1.2", "JPEG", "v1.2.jpg"),
        ("x.gif", "GIF", "x.png"),
        ("x.avif", "AVIF", "x.jpg"),
        ("x.tif", "TIFF", "x.tif"),
        ("x.jpg", "WEBP", "x.webp"),
    ],
)
def test_the_suffix_of_a_copy_is_its_format(
    tmp_path: Path, name: str, kind: str, copy: str
) -> None:
    Image.fromarray(GRAY).save(tmp_path / name, kind)
    (job,) = jobs_of(tmp_path / name, out=tmp_path / "out")
    assert job.copy == tmp_path / "out" / copy
