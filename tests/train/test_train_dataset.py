"""Tests the forms in which datasets come: tables, archives and folders, drawn by code."""

from __future__ import annotations

import bz2
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.dataset_forms import (
    FORMS,
    USAGES,
    class_folders,
    official_table,
    pack_zip,
    pictures,
    png,
    rerelease_table,
)

from train.dataset import (
    LABELS,
    describe,
    read_dataset,
)


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_faces_by_file_and_by_folder(tmp_path: Path, name: str) -> None:
    FORMS[name](tmp_path / name)
    for path in (tmp_path / name, tmp_path):
        splits = read_dataset(path)
        assert tuple(splits) == USAGES
        x = np.concatenate([split.x for split in splits.values()])
        np.testing.assert_array_equal(x, pictures(21))
        for split in splits.values():
            assert split.x.dtype == np.uint8
            assert split.y.dtype == np.int64
            assert split.y.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_the_table_with_all_splits_is_read_from_the_challenges_archive(tmp_path: Path) -> None:
    path = tmp_path / "challenge.zip"
    pack_zip(path, example_submission_csv="a,b\n", icml_face_data_csv=rerelease_table())
    assert tuple(read_dataset(path)) == USAGES


def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(b"\xef\xbb\xbf" + official_table().replace("\n", "\r\n").encode() + b"\r\n")
    assert len(read_dataset(path)["Training"].y) == 7


def test_class_folders_are_read_in_the_labels_order(tmp_path: Path) -> None:
    splits = read_dataset(class_folders(tmp_path, "train", "test"))
    assert {name: split.name for name, split in splits.items()} == {
        "Training": "Training",
        "Test": "Test",
    }
    training = splits["Training"]
    assert training.x.shape == (7, 48, 48, 1)
    assert training.x.dtype == np.uint8
    assert training.y.dtype == np.int64
    np.testing.assert_array_equal(training.x[:, 0, 0, 0], 30 * training.y)


def test_other_names_of_classes_and_splits_are_known(tmp_path: Path) -> None:
    names = ("Angry", "Disgust", "fearful", "Happy", "Sad", "surprised", "Neutral")
    root = class_folders(tmp_path, "train", "validation", names=names)
    (root / "train" / ".ipynb_checkpoints").mkdir()
    (root / "train" / "Angry" / "notes.txt").write_text("not a picture")
    splits = read_dataset(root)
    assert tuple(splits) == ("Training", "Validation")
    training = splits["Training"]
    np.testing.assert_array_equal(training.x[:, 0, 0, 0], 30 * training.y)


def test_a_test_folder_that_mixes_the_tests_is_split_by_file_name(tmp_path: Path) -> None:
    """As on Kaggle; files with other names stay in the mixed split."""
    root = class_folders(tmp_path, "train")
    png(root / "train" / "sad" / "PrivateTest_9.png", np.full((48, 48), 9, np.uint8))
    levels = {"PublicTest": 10, "PrivateTest": 20, "Training": 30, "other": 40}
    for name in LABELS:
        for prefix, level in levels.items():
            png(root / "test" / name / f"{prefix}_{level}7.png", np.full((48, 48), level, np.uint8))
    splits = read_dataset(root)
    assert {name: sorted(set(split.x.ravel())) for name, split in splits.items()} == {
        "Training": [0, 9, 30, 60, 90, 120, 150, 180],
        "PublicTest": [10],
        "PrivateTest": [20],
        "PublicTest+PrivateTest": [30, 40],
    }
    assert {name: split.name for name, split in splits.items()} == {name: name for name in splits}
    assert splits["PublicTest"].counts == splits["PrivateTest"].counts == (1,) * 7


def test_validation_and_test_folders_are_separate_splits(
    tmp_path: Path,
) -> None:
    splits = read_dataset(class_folders(tmp_path, "train", "validation", "test"))
    assert set(splits) == {"Training", "Validation", "Test"}


def test_gray_pictures_saved_in_color_are_read(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    gray = pictures(1)[0]
    png(root / "train" / "angry" / "0.png", gray.repeat(3, axis=2))
    png(root / "train" / "angry" / "1.png", np.dstack([gray, gray, gray, np.full_like(gray, 255)]))
    png(root / "train" / "angry" / "2.jpg", gray.repeat(3, axis=2))
    x = read_dataset(root)["Training"].x[:3].astype(int)
    np.testing.assert_array_equal(x[:2], [gray, gray])
    assert abs(x[2] - gray).mean() < 20


@pytest.mark.parametrize(
    "names",
    [
        ("anger", "disgusted", "fearful", "happiness", "sadness", "surprised", "neutral"),
        ("ANGRY", "Disgust", "scared", "Joy", "SAD", "Surprise", "Neutral"),
        ("0", "1", "2", "3", "4", "5", "6"),
    ],
    ids=lambda names: names[0],
)
@pytest.mark.parametrize("folder", ["Train", "Training", "training", "archive/data/train", ""])
def test_classes_and_splits_are_known_by_many_names(
    tmp_path: Path, folder: str, names: tuple[str, ...]
) -> None:
    split = read_dataset(class_folders(tmp_path, folder, names=names))["Training"]
    np.testing.assert_array_equal(split.x[:, 0, 0, 0], 30 * split.y)
    assert sorted(split.y) == list(range(7))


def test_a_zip_of_class_folders_is_read_as_kaggle_gives_it(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", "train", "test")
    archive = tmp_path / "download" / "archive.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        for path in root.rglob("*.png"):
            packed.write(path, path.relative_to(root))
        packed.writestr("__MACOSX/train/._angry", "hidden")
    for path in (archive, archive.parent):
        splits = read_dataset(path)
        assert {name: split.counts for name, split in splits.items()} == {
            "Training": (1,) * 7, "Test": (1,) * 7
        }  # fmt: skip


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_are_known(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "fer2013.csv").write_text(official_table().replace(",", delimiter))
    assert read_dataset(tmp_path)["PrivateTest"].counts == (1,) * 7


@pytest.mark.parametrize(
    ("training", "test", "split"),
    [
        ("training", "publictest", "PublicTest"),
        ("Train", "VAL", "Validation"),
        (" train ", "test", "Test"),
    ],
)
def test_usages_are_known_by_many_names(
    tmp_path: Path, training: str, test: str, split: str
) -> None:
    table = official_table().replace("Training", training).replace("PublicTest", test)
    (tmp_path / "fer2013.csv").write_text(table)
    splits = read_dataset(tmp_path)
    assert splits["Training"].counts == splits[split].counts == (1,) * 7


def test_a_table_without_usages_is_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [line.rpartition(",")[0] for line in official_table().splitlines()]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    assert read_dataset(tmp_path)["Training"].counts == (3,) * 7
    assert "train.csv: has no column Usage; all rows are trained on" in capsys.readouterr().out


def test_emotions_may_have_names(tmp_path: Path) -> None:
    header, *rows = official_table().splitlines()
    named = [f"{LABELS[int(row[0])].title()}{row[1:]}" for row in rows]
    (tmp_path / "fer2013.csv").write_text("\n".join([header, *named]))
    assert read_dataset(tmp_path)["Training"].counts == (1,) * 7


@pytest.mark.parametrize("name", ["FER2013.CSV", "emotions.csv", "fer2013.csv.bz2", "fer2013.tar"])
def test_a_table_is_found_by_other_names(tmp_path: Path, name: str) -> None:
    content = official_table().encode()
    if name.endswith(".tar"):
        with tarfile.open(tmp_path / name, "w") as tape:
            member = tarfile.TarInfo("fer2013.csv")
            member.size = len(content)
            tape.addfile(member, io.BytesIO(content))
    else:
        (tmp_path / name).write_bytes(bz2.compress(content) if name.endswith(".bz2") else content)
    (tmp_path / "fer2013new.csv").write_text("FER+'s votes are no table of faces")
    assert read_dataset(tmp_path)["Training"].counts == (1,) * 7


@pytest.mark.parametrize("form", ["{number}_{name}", "{number}. {name}", " {name} "])
def test_names_may_be_numbered_and_padded(tmp_path: Path, form: str) -> None:
    names = tuple(form.format(number=6 - n, name=name) for n, name in enumerate(LABELS))
    split = read_dataset(class_folders(tmp_path, "train", names=names))["Training"]
    np.testing.assert_array_equal(split.x[:, 0, 0, 0], 30 * split.y)


def test_what_numbers_are_taken_for_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read_dataset(class_folders(tmp_path, "train", names=tuple("0123456")))
    assert "taken for FER2013's classes: 0 angry, 1 disgust, 2 fear" in capsys.readouterr().out


def test_folders_behind_links_are_read_once(tmp_path: Path) -> None:
    real = class_folders(tmp_path / "real", "train")
    data = tmp_path / "data"
    data.mkdir()
    for label in LABELS:
        (data / label).symlink_to(real / "train" / label)
    (real / "train" / "sad" / "loop").symlink_to(data)
    (data / "nowhere").symlink_to(tmp_path / "missing")
    assert read_dataset(data)["Training"].counts == (1,) * 7


@pytest.mark.parametrize("name", ["1.avif", "1.jp2", "1.tga", "1.ppm", "1.jpe", "1", "1.download"])
def test_pictures_of_other_kinds_and_names_are_read(tmp_path: Path, name: str) -> None:
    root = class_folders(tmp_path, "train")
    kind = {"1": "PNG", "1.download": "JPEG", "1.jpe": "JPEG"}.get(name)
    Image.new("L", (48, 48), 120).convert("RGB").save(root / "train" / "sad" / name, kind)
    split = read_dataset(root)["Training"]
    assert split.counts == (1, 1, 1, 1, 2, 1, 1)
    assert abs(int(split.x[split.y == 4][:, 20, 20, 0].max()) - 120) <= 2


def test_pictures_in_folders_below_a_class_are_counted(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    png(root / "train" / "sad" / "webcam" / "day 1" / "0.png", np.full((48, 48), 9, np.uint8))
    assert read_dataset(root)["Training"].counts == (1, 1, 1, 1, 2, 1, 1)


def test_files_other_than_pictures_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = class_folders(tmp_path, "train")
    for name in ("a.txt", "b.mp4"):
        (root / "train" / "sad" / name).write_text("no picture")
    read_dataset(root)
    assert "2 files that are not pictures were ignored, as " in capsys.readouterr().out


def test_pictures_of_16_bits_keep_their_levels(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    levels = np.linspace(0, 65535, 48 * 48).astype(np.uint16).reshape(48, 48)
    png(root / "train" / "angry" / "0.png", levels)
    face = read_dataset(root)["Training"].x[0, ..., 0]
    np.testing.assert_allclose(face, levels / 257, atol=0.51)


def test_other_sizes_and_colors_are_converted_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = class_folders(tmp_path, "train")
    large = np.zeros((96, 96), np.uint8)
    large[:, 48:] = 200
    png(root / "train" / "angry" / "0.png", large)
    png(root / "train" / "sad" / "0.png", np.full((24, 40), 77, np.uint8))
    png(root / "train" / "happy" / "0.png", np.full((48, 48, 3), (255, 0, 0), np.uint8))
    training = read_dataset(root)["Training"]
    x = training.x[training.y.argsort(), ..., 0]
    assert set(x[0, :, :24].ravel()) == {0}
    assert set(x[0, :, 24:].ravel()) == {200}
    assert set(x[4].ravel()) == {77}
    assert set(x[3].ravel()) == {76}  # the luma of red
    output = capsys.readouterr().out
    assert "2 pictures of 40×24 to 96×96 pixels were scaled to 48×48" in output
    assert "1 color pictures were converted to gray" in output


def test_own_classes_make_a_dataset_of_their_own(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "moods", "train", "val", names=("calm", "Smile", "frown"))
    splits = read_dataset(root, ("frown", "smile", "calm"))
    training = splits["Training"]
    assert training.labels == ("frown", "smile", "calm")
    assert training.dataset == "moods"
    assert dict(zip(training.y.tolist(), training.x[:, 0, 0, 0], strict=True)) == {
        2: 0, 1: 30, 0: 60
    }  # fmt: skip
    assert describe(training) == "Training: 3 faces (frown 1, smile 1, calm 1) of moods"
    assert set(splits) == {"Training", "Validation"}


def test_numbers_below_a_class_are_not_classes(tmp_path: Path) -> None:
    """People or recordings are numbered too, above and below the class."""
    root = class_folders(tmp_path, "train")
    for place in ("train/sad/0", "train/3/sad", "train/sad/sad"):
        png(root / place / "more.png", np.full((48, 48), 9, np.uint8))
    assert read_dataset(root)["Training"].counts == (1, 1, 1, 1, 4, 1, 1)


def test_folders_named_like_the_official_tests_are_these(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "Training", "PublicTest", "PrivateTest")
    assert set(read_dataset(root)) == set(USAGES)


def test_pictures_outside_the_splits_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = class_folders(tmp_path, "train", "test", "holdout")
    assert read_dataset(root)["Training"].counts == (2,) * 7
    said = capsys.readouterr().out
    assert f"{root}: 7 pictures in holdout, which is not named like a split, are trained on" in said


def test_a_zip_of_any_name_with_a_table_of_its_own_is_read(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", "AffectNet/Train", "AffectNet/val")
    archive = tmp_path / "download" / "AffectNet.ZIP"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("AffectNet/labels.csv", "pth,label\n")
        for path in root.rglob("*.png"):
            packed.write(path, path.relative_to(root))
    for path in (archive, archive.parent):
        assert set(read_dataset(path)) == {"Training", "Validation"}


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_levels_of_wider_pixels_are_kept(tmp_path: Path, mode: str) -> None:
    """32-bit pictures with 8-bit levels, and 16-bit ones, as TIFF."""
    from PIL import Image

    root = class_folders(tmp_path, "train")
    levels = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48) % 256
    kind = {"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode]
    stored = (levels * 257 if mode == "I;16" else levels).astype(kind)
    Image.fromarray(stored).save(root / "train" / "angry" / "0.tif")
    (root / "train" / "angry" / "0.png").unlink()
    np.testing.assert_array_equal(read_dataset(root)["Training"].x[0, ..., 0], levels)
