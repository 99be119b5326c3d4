"""Reads FER2013 in any of its published forms; gives uint8 faces, labels and split names.

Forms: Kaggle's `fer2013.csv` (emotion, pixels, Usage), its re-release `icml_face_data.csv`
(the same with spaces in the column names), either plain or packed as .gz, .xz or .zip, and
the class folders (`train/angry/*.png`, `test/…`) of later uploads.
"""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIZE_PX = 48
PIXELS = SIZE_PX * SIZE_PX

# Class counts of the official splits, in the order of LABELS (Goodfellow et al., 2013,
# "Challenges in Representation Learning", https://arxiv.org/abs/1307.0414).
OFFICIAL_COUNTS = {
    "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "PublicTest": (467, 56, 496, 895, 653, 415, 607),
    "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
}
OFFICIAL_COUNTS["PublicTest+PrivateTest"] = tuple(
    a + b
    for a, b in zip(OFFICIAL_COUNTS["PublicTest"], OFFICIAL_COUNTS["PrivateTest"], strict=True)
)
FOLDER_SPLITS = {
    "train": "Training",
    "test": "PublicTest",
    "validation": "PublicTest",
    "val": "PublicTest",
}
FOLDER_LABELS = {name: i for i, name in enumerate(LABELS)} | {"surprised": 5, "fearful": 2}

WHERE = (
    "FER2013 is a free download at kaggle.com/datasets/msambare/fer2013 (class folders) or "
    "kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge "
    "(fer2013.csv). Put fer2013.csv (or .csv.gz, .csv.xz, .zip), icml_face_data.csv, or the "
    "folders train/angry … train/neutral and test/… there"
)


class DatasetError(ValueError):
    """The dataset is missing or not FER2013; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Split:
    """Faces `x` (n, 48, 48, 1) uint8, labels `y` (n,) int64 and the split's official name."""

    name: str
    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    @property
    def counts(self) -> tuple[int, ...]:
        """Images per class, in the order of LABELS."""
        return tuple(np.bincount(self.y, minlength=len(LABELS)).tolist())

    def take(self, index: NDArray[np.int64]) -> Split:
        return Split(self.name, self.x[index], self.y[index])


def read_dataset(path: Path) -> dict[str, Split]:
    """Read every split under `path`, a file or a folder; raises DatasetError with what is wrong."""
    if not path.exists():
        raise DatasetError(f"{path}: no dataset there. {WHERE}.")
    source = path if path.is_file() else _find_csv(path)
    splits = _read_csv(source) if source else _read_folders(path)
    if "Training" not in splits:
        raise DatasetError(f"{path}: has no Training split. {WHERE}.")
    return splits


def describe(split: Split) -> str:
    """One line: the split's name, size and class counts, and how they differ from the official."""
    name, official = min(OFFICIAL_COUNTS.items(), key=lambda item: _distance(split, item[1]))
    wrong = [
        f"{label} {have} instead of {want}"
        for label, have, want in zip(LABELS, split.counts, official, strict=True)
        if have != want
    ]
    classes = ", ".join(f"{n} {c}" for n, c in zip(LABELS, split.counts, strict=True))
    verdict = f"the official FER2013 {name}"
    if wrong:
        verdict = f"nearest to FER2013 {name}, but {'; '.join(wrong)}"
    return f"{split.name}: {len(split.y)} faces ({classes}): {verdict}"


def _distance(split: Split, counts: tuple[int, ...]) -> int:
    return sum(abs(a - b) for a, b in zip(split.counts, counts, strict=True))


def duplicates_of(x: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mask of the images in `x` (n, …) that stand pixel for pixel in `others` (m, …) too."""
    known = {image.tobytes() for image in others}
    return np.array([image.tobytes() in known for image in x], dtype=bool)


def stratified_split(
    y: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the (rest, held-out) parts of `y`, `fraction` of every class held out."""
    rng = np.random.default_rng(seed)
    held = []
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        held.append(members[: max(1, round(fraction * len(members)))])
    held_out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(y)), held_out), held_out


def _find_csv(folder: Path) -> Path | None:
    names = ("fer2013.csv", "icml_face_data.csv")
    candidates = [folder / (n + s) for n in names for s in ("", ".xz", ".gz", ".zip")]
    candidates += [folder / "fer2013.zip"]
    return next((c for c in candidates if c.is_file()), None)


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    """`path` as text, unpacked by its ending; of a .zip its first .csv member."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            member = next((n for n in archive.namelist() if n.endswith(".csv")), None)
            if member is None:
                raise DatasetError(f"{path}: holds no .csv file. {WHERE}.")
            with archive.open(member) as raw, io.TextIOWrapper(raw, "utf-8") as text:
                yield text
        return
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    with opener(path, "rt", encoding="utf-8", newline="") as text:
        yield text


def _read_csv(path: Path) -> dict[str, Split]:
    try:
        with _open_text(path) as text:
            rows = csv.reader(text)
            header = [name.strip().lower() for name in next(rows, [])]
            columns = [_column(path, header, name) for name in ("emotion", "pixels", "usage")]
            return _collect(path, rows, columns)
    except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); download it again.") from error


def _column(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        raise DatasetError(f"{path}: has no column {name!r} (found: {', '.join(header)}). {WHERE}.")
    return header.index(name)


def _collect(path: Path, rows: Iterator[list[str]], columns: list[int]) -> dict[str, Split]:
    images: dict[str, list[NDArray[np.uint8]]] = {}
    labels: dict[str, list[int]] = {}
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        try:
            emotion, pixels, usage = (row[c] for c in columns)
            label = int(emotion)
            image = np.array(pixels.split(), dtype=np.uint8)
        except (IndexError, ValueError, OverflowError) as error:
            raise DatasetError(f"{path}, line {line}: not an image row ({error}).") from error
        if image.size != PIXELS or not 0 <= label < len(LABELS):
            raise DatasetError(
                f"{path}, line {line}: {image.size} pixels and emotion {label}; "
                f"expected {PIXELS} pixels (48×48) and an emotion from 0 to 6."
            )
        images.setdefault(usage.strip(), []).append(image)
        labels.setdefault(usage.strip(), []).append(label)
    return {name: _split(name, images[name], labels[name]) for name in images}


def _split(name: str, images: list[NDArray[np.uint8]], labels: list[int]) -> Split:
    x = np.stack(images).reshape(-1, SIZE_PX, SIZE_PX, 1)
    return Split(name, x, np.array(labels, dtype=np.int64))


def _read_folders(root: Path) -> dict[str, Split]:
    splits = {}
    for folder, name in FOLDER_SPLITS.items():
        if (root / folder).is_dir() and name not in splits:
            splits[name] = _read_split_folder(root / folder, name)
    if not splits:
        raise DatasetError(f"{root}: holds neither fer2013.csv nor class folders. {WHERE}.")
    return splits


def _read_split_folder(folder: Path, name: str) -> Split:
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for class_folder in sorted(p for p in folder.iterdir() if p.is_dir()):
        label = FOLDER_LABELS.get(class_folder.name.lower())
        if label is None:
            raise DatasetError(
                f"{class_folder}: not one of the seven classes ({', '.join(LABELS)})."
            )
        files = sorted(
            p for p in class_folder.iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg"}
        )
        images += [_read_picture(p) for p in files]
        labels += [label] * len(files)
    missing = sorted(set(range(len(LABELS))) - set(labels))
    if missing:
        names = ", ".join(LABELS[i] for i in missing)
        raise DatasetError(f"{folder}: no picture for {names}; each class needs its folder.")
    return _split(name, images, labels)


def _read_picture(path: Path) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - only class folders need it

    try:
        with Image.open(path) as picture:
            gray = np.asarray(picture.convert("L"), dtype=np.uint8)
    except (OSError, UnidentifiedImageError) as error:
        raise DatasetError(f"{path}: not a readable picture ({error}).") from error
    if gray.shape != (SIZE_PX, SIZE_PX):
        h, w = gray.shape
        raise DatasetError(f"{path}: {w}×{h} pixels; FER2013 pictures are 48×48.")
    return gray
