"""Tests the annotated copies of `mien classify --out`: drawn, blurred, and without room."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.classify import classify, messages, records
from support.clips import read_clip

from edge_daemon.core.types import ImageBgr

pytestmark = pytest.mark.usefixtures("blazeface_dir")


def test_annotated_copies_are_written(people_album: Path, tmp_path: Path) -> None:
    done = classify(people_album, "--out", tmp_path / "copies", "--workers", "1")
    copies = sorted(p for p in (tmp_path / "copies").rglob("*") if p.is_file())
    names = [str(p.relative_to(tmp_path / "copies")) for p in copies]
    assert names == ["clip.mp4", "first.jpg", "inner/second.png"], done.stderr
    before = np.asarray(cv2.imread(str(people_album / "inner" / "second.png")), np.int16)
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


def test_copies_are_blurred_as_the_stream_is(people_album: Path, tmp_path: Path) -> None:
    hide = ["--set", "privacy.blur_faces=true"]
    files = [people_album / "clip.avi", people_album / "first.jpg"]
    done = classify(*files, "--workers", "1", "--out", tmp_path, *hide)
    boxes = [face["box"] for face in records(done.stdout)[-1]["faces"]]
    assert len(boxes) == 2, done.stderr
    for name, copy in (("clip.avi", "clip.mp4"), ("first.jpg", "first.jpg")):
        clear, coarse = read_clip(people_album / name)[0], read_clip(tmp_path / copy)[0]
        for before, after in zip(clear, coarse, strict=True):  # all, though each waited for later
            assert all(shared_detail(before, after, box) < 0.5 for box in boxes)


def test_every_face_that_is_found_is_blurred(people_album: Path, tmp_path: Path) -> None:
    """Small ones too, which only a thorough search finds."""
    scene = np.full((1080, 1920, 3), 120, np.uint8)
    people = np.asarray(cv2.imread(str(people_album / "first.jpg")), np.uint8)
    scene[700:970, 1300:1780] = people
    cv2.imwrite(str(tmp_path / "scene.png"), scene)
    hide = ["--set", "privacy.blur_faces=true"]
    done = classify(tmp_path / "scene.png", "--out", tmp_path / "out", *hide)
    (record,) = records(done.stdout)
    assert len(record["faces"]) == 2, done.stderr
    copy = np.asarray(cv2.imread(str(tmp_path / "out" / "scene.png")), np.uint8)
    assert all(shared_detail(scene, copy, face["box"]) < 0.4 for face in record["faces"])


def test_a_full_disk_costs_the_copies_and_not_the_records(
    people_album: Path, small_disk: Path
) -> None:
    """The copies' folder has room for the picture, and for nothing of the video."""
    (small_disk / "other").write_bytes(bytes(60_000))
    files = [people_album / "clip.avi", people_album / "first.jpg"]
    done = classify(*files, "--workers", "1", "--out", small_disk)
    assert done.returncode == 1
    assert len(records(done.stdout)) == 9
    assert messages(done) == [
        f"mien: the copy {small_disk / name} cannot be written: No space left on device: skipped"
        for name in ("clip.mp4", "first.jpg")
    ]
    assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_a_picture_of_black_and_white_dots_has_its_faces(
    people_album: Path, tmp_path: Path
) -> None:
    """As of a fax or a newspaper, dithered; the copy shows the dots."""
    from PIL import Image

    dots = tmp_path / "dots.png"
    Image.open(people_album / "first.jpg").convert("1").save(dots)
    done = classify(dots, "--out", tmp_path / "copies")
    (record,) = records(done.stdout)
    assert len(record["faces"]) == 2
    before, after = cv2.imread(str(dots)), cv2.imread(str(tmp_path / "copies" / "dots.png"))
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before[:20, :20], after[:20, :20])
