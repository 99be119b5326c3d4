"""Reads a dataset of faces: FER2013 in any published form, or pictures in class folders.

FER2013 is published as Kaggle's `fer2013.csv` (emotion, pixels, Usage) and its re-release
`icml_face_data.csv` (with spaces in the column names), plain or packed as .gz, .xz, .bz2, .tar or
.zip, and as the class folders (`train/angry/*.png`, `test/…`) of later uploads, unpacked or as
.zip. Class folders may also have other classes; see `train.folders`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.errors import DatasetError

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
WITH_CONTEMPT = (*LABELS, "contempt")  # FER+'s voters have an eighth class
SIZE_PX = 48
FER2013 = "FER2013"

# Class counts of the official splits, in the order of LABELS (Goodfellow et al., 2013,
# "Challenges in Representation Learning", https://arxiv.org/abs/1307.0414).
OFFICIAL_COUNTS: dict[str, tuple[int, ...]] = {
    "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "PublicTest": (467, 56, 496, 895, 653, 415, 607),
    "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
}
BOTH_TESTS = "PublicTest+PrivateTest"
OFFICIAL_COUNTS[BOTH_TESTS] = tuple(
    a + b
    for a, b in zip(OFFICIAL_COUNTS["PublicTest"], OFFICIAL_COUNTS["PrivateTest"], strict=True)
)
HELD_OUT = "HeldOut"  # the part of Training that chooses the epoch if no other split does
# The splits for evaluation, the preferred one first.
EVALUATION = ("PublicTest", "Validation", "PrivateTest", BOTH_TESTS, "Test", HELD_OUT, "Training")

WHERE = (
    "FER2013 is a free download at kaggle.com/datasets/msambare/fer2013 (class folders) or "
    "kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge "
    "(fer2013.csv). Put fer2013.csv (or .csv.gz, .csv.xz, .tar.gz, .zip), icml_face_data.csv, or "
    "the folders train/angry … train/neutral and test/… there"
)
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
TAPES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
UNKNOWN = (".7z", ".rar", ".zst")  # archives that Python does not unpack
VOTES_FILE = "fer2013new.csv"  # FER+'s, beside fer2013.csv


@dataclass(frozen=True, slots=True)
class Split:
    """Faces `x` (n, 48, 48, 1) uint8, class numbers `y` (n,) int64 and the split's official name.

    `labels` are the names of the classes, `dataset` is the name of the dataset.
    """

    name: str
    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    labels: tuple[str, ...] = LABELS
    dataset: str = FER2013

    @property
    def counts(self) -> tuple[int, ...]:
        """Images per class, in the order of `labels`."""
        return tuple(np.bincount(self.y, minlength=len(self.labels)).tolist())

    def take(self, index: NDArray[np.int64]) -> Split:
        return Split(self.name, self.x[index], self.y[index], self.labels, self.dataset)


def read_dataset(
    path: Path, labels: Sequence[str] = LABELS, *, strict: bool = False
) -> dict[str, Split]:
    """Read every split under `path`, a file or a folder. Raises DatasetError with what is wrong.

    `labels` are the classes in order. Pictures of another size or in color are converted, which is
    printed; with `strict` they are refused.
    """
    from train.folders import read_folders  # noqa: PLC0415 - needs Pillow
    from train.table import read_table  # noqa: PLC0415

    if not path.exists():
        raise DatasetError(f"{path}: no dataset there. {WHERE}.")
    source = path if path.is_file() else _find_csv(path) or _find_archive(path)
    if source is None:
        splits = read_folders(path, labels, strict=strict)
    elif source.suffix.lower() == ".zip" and not _has_table(source):
        splits = read_folders(source, labels, strict=strict)
    else:
        splits = read_table(source, labels)
    if "Training" not in splits:
        found = ", ".join(splits) or "no image at all"
        raise DatasetError(f"{path}: has no Training split (found: {found}). {WHERE}.")
    return splits


def describe(split: Split) -> str:
    """Describe the split in a line: name, size and class counts, and whether it is official."""
    classes = ", ".join(f"{n} {c}" for n, c in zip(split.labels, split.counts, strict=True))
    line = f"{split.name}: {len(split.y)} faces ({classes})"
    if split.labels != LABELS and split.dataset != FER2013:
        return f"{line} of {split.dataset}"
    name, official = min(OFFICIAL_COUNTS.items(), key=lambda item: _distance(split, item[1]))
    total = sum(official)
    wrong = [
        f"{label} {have} instead of {want}"
        for label, have, want in zip(LABELS, split.counts, official, strict=False)
        if have != want
    ]
    verdict = f"the official FER2013 {name}"
    if _distance(split, official) > total // 10:
        verdict = "none of the official FER2013 splits"
    elif wrong:
        verdict = f"differs from the official FER2013 {name} ({total}): {', '.join(wrong)}"
    return f"{line}: {verdict}"


def is_official(split: Split) -> bool:
    """Return whether the class counts are close to those of a split of FER2013."""
    if split.labels != LABELS:
        return False
    return any(_distance(split, each) <= sum(each) // 10 for each in OFFICIAL_COUNTS.values())


def duplicates_of(x: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the mask of the images in `x` (n, …) that are also in `others` (m, …), exactly."""
    known = {image.tobytes() for image in others}
    return np.array([image.tobytes() in known for image in x], dtype=bool)


def stratified_split(
    y: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the rest and of the held-out part of `y`: `fraction` of each class."""
    rng = np.random.default_rng(seed)
    held = []
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        held.append(members[: max(1, round(fraction * len(members)))])
    held_out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(y)), held_out), held_out


def first_of_each_class(y: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the indices of the first `n` faces of every class, for a quick trial."""
    return np.sort(np.concatenate([np.flatnonzero(y == label)[:n] for label in np.unique(y)]))


def _distance(split: Split, counts: tuple[int, ...]) -> int:
    return sum(abs(a - b) for a, b in zip(split.counts, counts, strict=False))


def _find_csv(folder: Path) -> Path | None:
    """Return FER2013's table in `folder`, packed or not, or the only table if it has no folders."""
    files = {each.name.lower(): each for each in folder.iterdir() if each.is_file()}
    names = [name + packing for name in CSV_NAMES for packing in ("", ".xz", ".gz", ".bz2", ".zip")]
    names += [f"fer2013{packing}" for packing in (".zip", *TAPES)]
    if (known := next((files[name] for name in names if name in files), None)) is not None:
        return known
    tables = [file for name, file in files.items() if name.endswith(".csv") and name != VOTES_FILE]
    return tables[0] if len(tables) == 1 and not _has_folders(folder) else None


def _find_archive(folder: Path) -> Path | None:
    """Return the one archive of a folder that has no folders, as Kaggle's download leaves it."""
    kinds = (".zip", *TAPES, *UNKNOWN)
    archives = [each for each in folder.iterdir() if each.name.lower().endswith(kinds)]
    return archives[0] if len(archives) == 1 and not _has_folders(folder) else None


def _has_folders(folder: Path) -> bool:
    return any(each.is_dir() and each.name[0] != "." for each in folder.iterdir())


def _has_table(path: Path) -> bool:
    """Return whether a zip archive has FER2013's table, or a .csv file and no pictures.

    True for a damaged archive, because the reader of tables reports it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return True
    pictures = any(name.lower().endswith((".png", ".jpg", ".jpeg")) for name in names)
    return not pictures or any(name.rpartition("/")[2] in CSV_NAMES for name in names)
