"""Tests data sets that cannot be used: each is refused with a sentence that names the problem."""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from support.dataset_forms import (
    FORMS,
    class_folders,
    official_table,
    pack_tar,
    pack_zip,
    pictures,
    pixels,
    png,
)

from train import folders
from train.dataset import LABELS, read_dataset
from train.errors import DatasetError


def refusal(path: Path, *, strict: bool = False) -> str:
    """Return the one sentence with which `path` is refused; it names the path."""
    with pytest.raises(DatasetError) as caught:
        read_dataset(path, strict=strict)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def refused_table(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join(lines) + "\n")
    return refusal(path)


def test_missing_dataset_says_where_to_get_it(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere")
    assert "kaggle.com" in message
    assert "fer2013.csv" in message


def test_empty_folder_says_what_to_put_there(tmp_path: Path) -> None:
    assert "has neither fer2013.csv nor class folders" in refusal(tmp_path)


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    message = refused_table(tmp_path, "emotion,usage", "0,1")
    assert "no column 'pixels' in line 1 (found: emotion, usage), which must name" in message
    assert "kaggle.com" in message


def test_an_empty_file_has_no_columns(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").touch()
    assert "found: an empty line" in refusal(tmp_path / "fer2013.csv")


def test_a_table_without_rows_has_no_training_split(tmp_path: Path) -> None:
    assert "no Training split (found: no image" in refused_table(tmp_path, "emotion,pixels,Usage")


def test_a_table_of_test_faces_has_no_training_split(tmp_path: Path) -> None:
    message = refused_table(tmp_path, "emotion,pixels,Usage", f"0,{pixels(pictures(1))},PublicTest")
    assert "no Training split (found: PublicTest)" in message


GOOD = pixels(pictures(1))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("3", "only 1 columns"),
        (f"3,{GOOD}", "only 2 columns"),
        (f"3,{GOOD} 7,Training", "2305 pixels and emotion 3"),
        ("3,1 2 3,Training", "3 pixels and emotion 3"),
        (f"7,{GOOD},Training", "2304 pixels and emotion 7"),
        (f"-1,{GOOD},Training", "emotion -1"),
        (f"smile,{GOOD},Training", "the emotion is 'smile'"),
        (f"3.0,{GOOD},Training", "the emotion is '3.0'"),
        (f"3,{GOOD},Later", "the usage is 'Later', not one of PrivateTest, PublicTest, Test"),
        (f"3,{GOOD},", "the usage is ''"),
        (f"3,{GOOD.replace(' ', ' x', 1)},Training", "'x"),
        (f"3,256 {GOOD},Training", "a pixel is '256'"),
        (f"3,-4 {GOOD},Training", "a pixel is '-4'"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: str, said: str) -> None:
    message = refused_table(tmp_path, "emotion,pixels,Usage", f"0,{GOOD},Training", row)
    assert f"{tmp_path / 'fer2013.csv'}, line 3: " in message
    assert said in message
    assert "2304 pixels (48×48) from 0 to 255" in message
    assert "download the file again" in message


def test_a_stray_quote_that_swallows_the_rest_is_refused(tmp_path: Path) -> None:
    table = official_table(21).replace("\n0,", '\n0,"', 1)
    assert "cannot be read" in refused_table(tmp_path, table)


@pytest.mark.parametrize("name", ["fer2013.csv.xz", "fer2013.csv.gz", "fer2013.tar.gz"])
def test_a_download_cut_short_is_refused(tmp_path: Path, name: str) -> None:
    FORMS[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    message = refusal(tmp_path / name)
    assert "cannot be read" in message
    assert "download it again" in message


@pytest.mark.parametrize("name", ["fer2013.csv.xz", "fer2013.csv.gz", "fer2013.csv.zip"])
def test_a_damaged_download_is_refused(tmp_path: Path, name: str) -> None:
    FORMS[name](tmp_path / name)
    damaged = bytearray((tmp_path / name).read_bytes())
    damaged[300:400] = bytes(100)
    (tmp_path / name).write_bytes(damaged)
    assert refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["fer2013.csv.xz", "fer2013.csv.gz", "fer2013.csv.zip"])
def test_a_page_saved_in_place_of_the_download_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("<!doctype html><title>Sign in</title>")
    assert "download it again" in refusal(tmp_path / name)


def test_a_table_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(b"\x89PNG\xff\xfe")
    assert "download it again" in refusal(tmp_path / "fer2013.csv")


def test_an_archive_without_table_or_pictures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    pack_zip(path, train__angry__0="picture")
    assert "has neither a .csv file nor class folders" in refusal(path)


def test_a_table_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_text(official_table(), encoding="utf-16")
    assert "is not text in UTF-8; save it as such" in refusal(tmp_path)


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    pack_zip(tmp_path / "fer2013.zip", fer2013_csv="emotion,pixels,Usage\n" + "0" * 2_000_000)
    assert "cannot be read (a line is too long)" in refusal(tmp_path)


def test_one_of_several_tables_is_not_guessed(tmp_path: Path) -> None:
    pack_zip(tmp_path / "a.zip", train_csv=official_table(), test_csv=official_table())
    assert "has several tables (train.csv, test.csv); unpack it, and name one" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["archive.7z", "archive.rar", "ARCHIVE.RAR"])
def test_an_archive_of_another_kind_is_to_be_unpacked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"Rar!\x1a\x07\0")
    for path in (tmp_path, tmp_path / name):
        assert f"{name}: cannot be unpacked here; unpack it" in refusal(path)


def test_class_folders_in_a_tape_are_to_be_unpacked(tmp_path: Path) -> None:
    pack_tar(tmp_path / "faces.tar.gz", "train/angry/0.png", "picture")
    assert "if class folders are in it, unpack it" in refusal(tmp_path)


def test_an_archive_with_a_password_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("train/angry/0.png", "picture")
    content = (tmp_path / "a.zip").read_bytes()
    flags = content.index(b"PK\x01\x02") + 8  # of the central directory (APPNOTE.TXT, 4.3.12)
    (tmp_path / "a.zip").write_bytes(content[:flags] + b"\x01" + content[flags + 1 :])
    assert "a.zip: needs a password; unpack it" in refusal(tmp_path)


def test_a_picture_meant_to_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    png_header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    png_header += struct.pack(">I", 4) + b"IDAT" + bytes(8)
    class_folders(tmp_path, "train")
    (tmp_path / "train" / "sad" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png_header)
    assert "1.png: not a readable picture (20000×20000 pixels are too many)" in refusal(tmp_path)


def test_a_member_meant_to_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LARGEST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/sad/1.png", bytes(2000))
    assert "1.png: not a readable picture (larger than" in refusal(tmp_path)


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b"text", "in no known format")])
def test_the_reason_is_in_plain_words(tmp_path: Path, content: bytes, reason: str) -> None:
    class_folders(tmp_path, "train")
    (tmp_path / "train" / "sad" / "1.png").write_bytes(content)
    assert f"1.png: not a readable picture ({reason}); delete it" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (tuple("1234567"), "Numbers are taken for FER2013's classes (0 angry, 1 disgust"),
        ((*LABELS, "contempt"), "contempt as the eighth class with --contempt yes"),
    ],
)
def test_other_datasets_classes_have_a_hint(
    tmp_path: Path, names: tuple[str, ...], hint: str
) -> None:
    assert hint in refusal(class_folders(tmp_path, "train", names=names))


def test_an_archive_with_a_folder_for_a_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("fer2013.csv")
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    assert "has a folder named like" in refusal(path)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    (root / "train" / "disgust" / "0.png").unlink()
    message = refusal(root)
    assert "Training has no picture for disgust; each class needs its folder" in message


def test_an_unknown_class_folder_is_named_with_the_seven(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    png(root / "train" / "contempt" / "0.png", np.zeros((48, 48), np.uint8))
    message = refusal(root)
    assert str(root / "train" / "contempt") in message
    assert ", ".join(LABELS) in message
    assert "rename or remove" in message
    assert "--labels" in message


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    picture = root / "train" / "sad" / "0.png"
    whole = picture.read_bytes()
    damaged = whole.replace(b"IDAT", b"IDAT\xff\xff\xff\xff\xff", 1)
    header_only = whole[: whole.index(b"IDAT") - struct.calcsize(">I")]
    for content in (b"", b"text", damaged, header_only):
        picture.write_bytes(content)
        message = refusal(root)
        assert str(picture) in message
        assert "download it again" in message


def test_strict_refuses_a_picture_of_another_size(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    png(root / "train" / "sad" / "1.png", np.zeros((32, 64), np.uint8))
    message = refusal(root, strict=True)
    assert f"{root / 'train' / 'sad' / '1.png'}: 64×32 pixels instead of 48×48" in message
    assert "--strict" in message


def test_strict_refuses_a_color_picture(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    path = root / "train" / "happy" / "1.png"
    png(path, np.full((48, 48, 3), (200, 160, 140), np.uint8))
    assert f"{path}: a color picture; convert it to gray" in refusal(root, strict=True)


def test_a_picture_in_no_class_folder_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    png(root / "train" / "stray.png", np.zeros((48, 48), np.uint8))
    assert f"{root / 'train' / 'stray.png'}: is not in a folder of its class" in refusal(root)


def test_a_picture_in_folders_of_two_classes_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    path = root / "train" / "sad" / "happy" / "1.png"
    png(path, np.zeros((48, 48), np.uint8))
    assert f"{path}: is in folders of several classes (sad, happy); move it" in refusal(root)
