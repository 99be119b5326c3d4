"""Every published form of FER2013, drawn small by code, and the real one: what is read and said."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from train.dataset import (
    LABELS,
    OFFICIAL_COUNTS,
    Split,
    describe,
    duplicates_of,
    read_dataset,
    stratified_split,
)
from train.errors import DatasetError

USAGES = ("Training", "PublicTest", "PrivateTest")


def pictures(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 48, 48, 1), dtype=np.uint8)


def pixels(image: NDArray[np.uint8]) -> str:
    return " ".join(map(str, image.ravel()))


def official_table(per_usage: int = 7) -> str:
    """`fer2013.csv` as Kaggle has it: `per_usage` faces of each usage, classes in turn."""
    faces = iter(pictures(per_usage * len(USAGES)))
    rows = [f"{i % 7},{pixels(next(faces))},{usage}" for usage in USAGES for i in range(per_usage)]
    return "\n".join(["emotion,pixels,Usage", *rows]) + "\n"


def rerelease_table() -> str:
    """The same as `icml_face_data.csv`, whose columns stand in another order, after spaces."""
    rows = [line.split(",") for line in official_table().splitlines()[1:]]
    return "\n".join(["emotion, Usage, pixels", *(f"{e},{u},{p}" for e, p, u in rows)]) + "\n"


def pack_zip(path: Path, **members: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), text)


def pack_tar(path: Path, name: str, text: str) -> None:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))


def png(path: Path, image: NDArray[np.uint8]) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def class_folders(root: Path, *splits: str, names: tuple[str, ...] = LABELS) -> Path:
    """`root`/train/angry/0.png and so on: a picture of each class, gray level 30 × class."""
    for split in splits:
        for label, name in enumerate(names):
            png(root / split / name / "0.png", np.full((48, 48), 30 * label, np.uint8))
    return root


def refusal(path: Path) -> str:
    """The one sentence with which `path` is refused; it names the path."""
    with pytest.raises(DatasetError) as caught:
        read_dataset(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def refused_table(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join(lines) + "\n")
    return refusal(path)


# --- the forms ---


FORMS: dict[str, Callable[[Path], object]] = {
    "fer2013.csv": lambda p: p.write_text(official_table()),
    "fer2013.csv.gz": lambda p: p.write_bytes(gzip.compress(official_table().encode())),
    "fer2013.csv.xz": lambda p: p.write_bytes(lzma.compress(official_table().encode(), preset=0)),
    "fer2013.csv.zip": lambda p: pack_zip(p, fer2013_csv=official_table()),
    "fer2013.zip": lambda p: pack_zip(p, __MACOSX___csv="", fer2013__fer2013_csv=official_table()),
    "fer2013.tar.gz": lambda p: pack_tar(p, "fer2013/fer2013.csv", official_table()),
    "icml_face_data.csv": lambda p: p.write_text(rerelease_table()),
    "icml_face_data.csv.zip": lambda p: pack_zip(p, icml_face_data_csv=rerelease_table()),
}


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


def test_of_the_challenges_archive_the_table_with_all_splits_is_read(tmp_path: Path) -> None:
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
        "PublicTest+PrivateTest": "PublicTest+PrivateTest",
    }
    training = splits["Training"]
    assert training.x.shape == (7, 48, 48, 1)
    assert training.x.dtype == np.uint8
    assert training.y.dtype == np.int64
    np.testing.assert_array_equal(training.x[:, 0, 0, 0], 30 * training.y)


def test_class_folders_go_by_their_other_names_too(tmp_path: Path) -> None:
    names = ("Angry", "Disgust", "fearful", "Happy", "Sad", "surprised", "Neutral")
    root = class_folders(tmp_path, "train", "validation", names=names)
    (root / "train" / ".ipynb_checkpoints").mkdir()
    (root / "train" / "Angry" / "notes.txt").write_text("not a picture")
    splits = read_dataset(root)
    assert tuple(splits) == ("Training", "PublicTest")
    training = splits["Training"]
    np.testing.assert_array_equal(training.x[:, 0, 0, 0], 30 * training.y)


def test_a_test_folder_that_mixes_the_tests_is_split_by_file_name(tmp_path: Path) -> None:
    """As on Kaggle; only what its name does not tell stays in the mixture."""
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


def test_beside_a_validation_folder_the_test_folder_stays_a_split_of_its_own(
    tmp_path: Path,
) -> None:
    splits = read_dataset(class_folders(tmp_path, "train", "validation", "test"))
    assert set(splits) == {"Training", "PublicTest", "PublicTest+PrivateTest"}


def test_gray_pictures_saved_in_colour_are_read(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    gray = pictures(1)[0]
    png(root / "train" / "angry" / "0.png", gray.repeat(3, axis=2))
    png(root / "train" / "angry" / "1.png", np.dstack([gray, gray, gray, np.full_like(gray, 255)]))
    png(root / "train" / "angry" / "2.jpg", gray.repeat(3, axis=2))
    x = read_dataset(root)["Training"].x[:3].astype(int)
    np.testing.assert_array_equal(x[:2], [gray, gray])
    assert abs(x[2] - gray).mean() < 20


# --- what is refused, and how ---


def test_missing_dataset_says_where_to_get_it(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere")
    assert "kaggle.com" in message
    assert "fer2013.csv" in message


def test_empty_folder_says_what_to_put_there(tmp_path: Path) -> None:
    assert "neither fer2013.csv nor class folders" in refusal(tmp_path)


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    message = refused_table(tmp_path, "emotion,pixels", "0,1")
    assert "no column 'usage' in line 1 (found: emotion, pixels)" in message
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
        (f"happy,{GOOD},Training", "'happy'"),
        (f"3,{GOOD.replace(' ', ' x', 1)},Training", "'x"),
        (f"3,256 {GOOD},Training", "256 out of bounds"),
        (f"3,-4 {GOOD},Training", "-4 out of bounds"),
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


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(b"\x89PNG\xff\xfe")
    assert "download it again" in refusal(tmp_path / "fer2013.csv")


def test_an_archive_without_a_table_says_to_unpack_it(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    pack_zip(path, train__angry__0="picture")
    assert "unpack it and name the folder" in refusal(path)


def test_an_archive_with_a_folder_for_a_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("fer2013.csv")
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    assert "holds a folder named like" in refusal(path)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    (root / "train" / "disgust" / "0.png").unlink()
    message = refusal(root)
    assert f"{root / 'train'}: no picture for disgust" in message


def test_an_unknown_class_folder_is_named_with_the_seven(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    (root / "train" / "contempt").mkdir()
    message = refusal(root)
    assert str(root / "train" / "contempt") in message
    assert ", ".join(LABELS) in message
    assert "rename or remove" in message


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


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    png(root / "train" / "sad" / "1.png", np.zeros((32, 64), np.uint8))
    message = refusal(root)
    assert f"{root / 'train' / 'sad' / '1.png'}: 64×32 pixels" in message
    assert "48×48" in message


def test_a_colour_picture_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    path = root / "train" / "happy" / "1.png"
    skin = np.full((48, 48, 3), (200, 160, 140), np.uint8)
    png(path, skin)
    assert f"{path}: a colour picture; FER2013 pictures are gray" in refusal(root)


def test_an_empty_test_folder_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "train")
    (root / "test" / "angry").mkdir(parents=True)
    assert f"{root / 'test'}: no picture for angry, disgust" in refusal(root)


# --- splitting ---


def test_a_stratified_split_takes_its_share_of_every_class() -> None:
    y = np.repeat(np.arange(7), [100, 20, 40, 60, 80, 200, 3])
    np.random.default_rng(0).shuffle(y)
    rest, held_out = stratified_split(y, 0.1, seed=1)
    assert np.bincount(y[held_out]).tolist() == [10, 2, 4, 6, 8, 20, 1]
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, held_out])), np.arange(len(y)))


def test_a_stratified_split_is_its_seeds() -> None:
    y = np.arange(700) % 7
    _, one = stratified_split(y, 0.1, seed=1)
    _, again = stratified_split(y, 0.1, seed=1)
    _, other = stratified_split(y, 0.1, seed=2)
    np.testing.assert_array_equal(one, again)
    assert set(one.tolist()) != set(other.tolist())


def test_duplicates_are_equal_in_every_pixel() -> None:
    x = pictures(5)
    almost = x[3].copy()
    almost[0, 0, 0] ^= 1
    others = np.stack([x[1], almost, x[4], x[4]])
    assert duplicates_of(x, others).tolist() == [False, True, False, False, True]


# --- the real dataset ---


def test_the_official_test_splits_are_recognised(fer2013: dict[str, Split]) -> None:
    """The copy may lack PrivateTest, as the challenge's first download did."""
    assert {"Training", "PublicTest"} <= set(fer2013) <= set(USAGES)
    for name in set(fer2013) - {"Training"}:
        assert fer2013[name].counts == OFFICIAL_COUNTS[name]
        assert describe(fer2013[name]).endswith(": the official FER2013 " + name)


def test_a_missing_face_is_said_plainly(fer2013: dict[str, Split]) -> None:
    """The copy at hand lacks a Surprise of Training; a whole one loses it here."""
    training = fer2013["Training"]
    if training.counts == OFFICIAL_COUNTS["Training"]:
        assert describe(training).endswith(": the official FER2013 Training")
        training = training.take(np.delete(np.arange(28709), (training.y == 5).argmax()))
    said = describe(training)
    assert said.startswith("Training: 28708 faces (angry 3995, ")
    assert said.endswith(
        ": differs from the official FER2013 Training (28709): surprise 3170 instead of 3171"
    )


@pytest.mark.parametrize("name", OFFICIAL_COUNTS)
def test_official_counts_alone_are_recognised(name: str) -> None:
    """Of the class folders, test/ is both official tests together."""
    y = np.repeat(np.arange(7), OFFICIAL_COUNTS[name])
    split = Split("PublicTest", np.zeros((len(y), 1), np.uint8), y)
    assert describe(split).endswith(f": the official FER2013 {name}")


def test_another_dataset_is_not_taken_for_fer2013() -> None:
    said = describe(Split("Training", pictures(14), np.arange(14) % 7))
    assert said.startswith("Training: 14 faces (angry 2, ")
    assert said.endswith("none of the official FER2013 splits")


def test_the_known_leak_is_there(fer2013: dict[str, Split]) -> None:
    """About 8 % of each evaluation split stands in Training too."""
    leaked = duplicates_of(fer2013["PublicTest"].x, fer2013["Training"].x).mean()
    assert 0.05 < leaked < 0.12
